"""The APIs of docs/frameworks/python.md. Each answers `GET /claims` with the claims of the token."""

from typing import Annotated, Any

import httpx
import jwt
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from flask import Flask, jsonify


def api_with_fastapi(issuer: str) -> FastAPI:
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")  # it caches the keys
    api = FastAPI()

    def claims_of(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
        try:
            key = keys.get_signing_key_from_jwt(bearer.credentials)
            return jwt.decode(bearer.credentials, key, algorithms=["ES256"], issuer=issuer, audience="https://api.example")
        except jwt.PyJWTError as error:
            raise HTTPException(401, "invalid access token", {"WWW-Authenticate": "Bearer"}) from error

    @api.get("/claims")
    def claims(claims: Annotated[dict[str, Any], Depends(claims_of)]) -> dict[str, Any]:
        return claims

    return api


def api_with_authlib(issuer: str, client_id: str, client_secret: str) -> Flask:
    """It introspects: for opaque and PASETO tokens, and to see revocations."""
    api = Flask(__name__)

    class Introspection(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> dict[str, Any]:
            form = {"token": token_string, "token_type_hint": "access_token"}
            response = httpx.post(f"{issuer}/oauth/introspect", data=form, auth=(client_id, client_secret))
            response.raise_for_status()
            return response.json()

        def validate_token(self, token: Any, scopes: Any, request: Any, **options: Any) -> None:
            super().validate_token(token, scopes, request, **options)
            if token["aud"] != "https://api.example":
                raise InvalidTokenError()

    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(Introspection())

    @api.get("/claims")
    @require_oauth("read")
    def claims() -> Any:
        return jsonify(dict(current_token))

    return api
