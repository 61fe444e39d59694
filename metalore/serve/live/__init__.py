"""The live page: a city that runs, seen and steered in the browser.

A session (:mod:`.session`) runs one city, or two under different policies, in a thread, and encodes what is to be seen
once for all its viewers (:mod:`.scene`, :mod:`.story`); the hub (:mod:`.hub`) bounds sessions and viewers; the
application (:mod:`.application`) has the page and its WebSocket.
"""
