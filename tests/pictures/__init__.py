"""The README's pictures, made from a real pair with a console in a real browser: `make pictures`."""
