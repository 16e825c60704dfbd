"""The page that shows the API: everything on it comes from this server, nothing is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib

_SCRIPT = """SwaggerUIBundle({url: "openapi.json", dom_id: "#api", validatorUrl: null});"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeepfakeStream API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script>{script}</script>
</body>
</html>
"""


def docs_html(assets: str) -> tuple[str, str]:
    """Return the page and the Content-Security-Policy that keeps a browser on this server.

    Args:
        assets: path on this server that has `swagger-ui.css` and `swagger-ui-bundle.js`.
    """
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src 'self' 'sha256-{digest}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:"
    )
    return _PAGE.format(assets=assets, script=_SCRIPT), policy
