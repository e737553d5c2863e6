"""The API with Django REST framework and Simple JWT of docs/frameworks/python.md. It answers `GET /claims` with the claims of the token."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path


def api_with_django(issuer: str) -> WSGIHandler:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY="unused",
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        },
        SIMPLE_JWT={
            "ALGORITHM": "ES256",
            "JWK_URL": f"{issuer}/.well-known/jwks.json",
            "ISSUER": issuer,
            "AUDIENCE": "https://api.example",
            "USER_ID_CLAIM": "client_id",
            "TOKEN_TYPE_CLAIM": None,
        },
    )
    django.setup()
    from rest_framework.decorators import api_view
    from rest_framework.response import Response

    @api_view()
    def claims(request: Any) -> Response:
        return Response(request.auth.payload)

    urlpatterns.append(path("claims", claims))
    return WSGIHandler()


urlpatterns: list[Any] = []
