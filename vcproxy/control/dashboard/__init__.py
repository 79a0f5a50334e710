"""The dashboard: one picture of a running proxy, in a browser and in a terminal (`vcproxy top`).

`samples` is what the questions answered at one moment, `picture` what two of them show together:
pure functions. `collector` takes samples while a page is open, `sign_in` lets browsers in, and
`dashboard` serves the files of `page`.
"""
