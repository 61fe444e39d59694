"""What the documentation site makes at build time: reference pages, pages of source files, pictures of diagrams."""
