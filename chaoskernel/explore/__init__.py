"""Finds every place where the kernel can fail a program, fails each, and says what came of it."""
