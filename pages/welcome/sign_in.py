"""Where an operator signs in although testers need not. It shows nothing of what is behind it."""

from pages.welcome.card import card, draw_providers

with card("Sign in"):
    draw_providers()
