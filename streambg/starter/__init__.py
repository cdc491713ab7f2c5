"""`streambg init`: a new pipeline's folder, from the files that this repository runs itself."""
