"""What sources send of their stock: files of many forms, read as figures and refusals."""
