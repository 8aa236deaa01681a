"""What a person looks at: pages, summaries and test results from journals and explorations.

It reads files and needs no kernel.  Every text in them is somebody else's, and data.
"""
