"""What is read of files that anybody may have written: plain values, tensors, and networks made of them. Nothing is run."""
