"""`streambg status`: what the topics say about a pipeline, the conclusion first."""
