"""What is trained: language models of video, a temporal agent, and a toy."""
