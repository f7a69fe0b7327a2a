"""Values and rules that every other part shares.

In scope: frozen values that cross a file, the registry, the ports, file writing, errors.
Out of scope: any ML framework, any measuring, any printing. Only the standard library and pydantic are imported here.
"""
