"""What every door over HTTP shares (网页与接口的公共部分): who calls, what is let in, how it fails.

Rules are none of it: those are the hub's.
"""
