"""What a node keeps on its own disk: blobs by digest, blobs on their way in, and a journal of its own facts."""
