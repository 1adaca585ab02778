"""The processes. ``run()`` of each reads as the business story.

Nothing is imported here: the sandbox runs this file again for every workflow it starts.
"""
