package main

import (
	"context"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
)

// The two functions of docs/frameworks/go.md.

func verifyWithGoOIDC(ctx context.Context, issuer, token string) (*oidc.IDToken, error) {
	provider, err := oidc.NewProvider(ctx, issuer) // once, at the start: it caches the keys
	if err != nil {
		return nil, err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: "https://api.example"}) // the audience
	return verifier.Verify(ctx, token)
}

func verifyWithKeyfunc(ctx context.Context, issuer, token string) (*jwt.Token, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{issuer + "/.well-known/jwks.json"}) // once, at the start
	if err != nil {
		return nil, err
	}
	return jwt.Parse(token, keys.Keyfunc,
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience("https://api.example"),
		jwt.WithExpirationRequired())
}
