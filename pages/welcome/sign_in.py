"""The page at which an operator signs in although testers need not. It shows nothing of the operator pages."""

from pages.welcome.card import card, draw_providers

with card("Sign in"):
    draw_providers()
