"""What only the browser can do, as one component and its Python face."""
