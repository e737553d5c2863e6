package main

import (
	"context"
	"net/url"
	"time"

	jwksv2 "github.com/auth0/go-jwt-middleware/v2/jwks"
	validatorv2 "github.com/auth0/go-jwt-middleware/v2/validator"
	jwksv3 "github.com/auth0/go-jwt-middleware/v3/jwks"
	validatorv3 "github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/golang-jwt/jwt/v5"
	cap "github.com/hashicorp/cap/jwt"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxt "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"clients/internal/report"
)

type verifier func(ctx context.Context, token string) error

func checkVerifiers(fixture report.Fixture) {
	goOIDC := func(ctx context.Context, token string) error {
		_, err := verifyWithGoOIDC(ctx, fixture.Issuer, token)
		return err
	}
	for _, client := range []string{"default-alg", "es256-jwt", "es256", "eddsa", "rs256", "ps256"} {
		report.Verifies(fixture, "coreos/go-oidc v3", client, goOIDC)
	}
	report.Rejects(fixture, "coreos/go-oidc v3", "other-audience", goOIDC)

	report.Verifies(fixture, "golang-jwt v5 with keyfunc v3", "es256", func(ctx context.Context, token string) error {
		_, err := verifyWithKeyfunc(ctx, fixture.Issuer, token)
		return err
	})
	report.Verifies(fixture, "golang-jwt v5", "hs256", func(_ context.Context, token string) error {
		_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return []byte(fixture.SharedSecret), nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(fixture.Issuer))
		return err
	})

	report.Verifies(fixture, "auth0/go-jwt-middleware v2", "es256", middlewareV2(fixture, validatorv2.ES256))
	report.Verifies(fixture, "auth0/go-jwt-middleware v2", "rs256", middlewareV2(fixture, validatorv2.RS256))
	report.Verifies(fixture, "auth0/go-jwt-middleware v3", "es256", middlewareV3(fixture, validatorv3.ES256))
	report.Verifies(fixture, "auth0/go-jwt-middleware v3", "eddsa", middlewareV3(fixture, validatorv3.EdDSA))

	for _, client := range []string{"es256", "eddsa", "rs256"} {
		report.Verifies(fixture, "zitadel/oidc v3", client, zitadel(fixture))
		report.Verifies(fixture, "lestrrat-go/jwx v3", client, jwx(fixture.Issuer, fixture.Audience))
		report.Verifies(fixture, "hashicorp/cap", client, vault(fixture))
	}
	report.Rejects(fixture, "hashicorp/cap", "other-audience", vault(fixture))
}

func checkImported(fixture report.Fixture) {
	for _, key := range fixture.Imported {
		if key.Language != "go" && key.Language != "openssl" {
			continue
		}
		report.Check("coreos/go-oidc v3", "verifies a token by the imported key "+key.Name, func(ctx context.Context) error {
			_, err := verifyWithGoOIDC(ctx, fixture.ImportIssuer, key.Token)
			return err
		})
	}
}

func middlewareV2(fixture report.Fixture, algorithm validatorv2.SignatureAlgorithm) verifier {
	return func(ctx context.Context, token string) error {
		issuer, err := url.Parse(fixture.Issuer)
		if err != nil {
			return err
		}
		keys := jwksv2.NewCachingProvider(issuer, 5*time.Minute)
		validator, err := validatorv2.New(keys.KeyFunc, algorithm, fixture.Issuer, []string{fixture.Audience})
		if err != nil {
			return err
		}
		_, err = validator.ValidateToken(ctx, token)
		return err
	}
}

func middlewareV3(fixture report.Fixture, algorithm validatorv3.SignatureAlgorithm) verifier {
	return func(ctx context.Context, token string) error {
		issuer, err := url.Parse(fixture.Issuer)
		if err != nil {
			return err
		}
		keys, err := jwksv3.NewCachingProvider(jwksv3.WithIssuerURL(issuer))
		if err != nil {
			return err
		}
		validator, err := validatorv3.New(
			validatorv3.WithKeyFunc(keys.KeyFunc),
			validatorv3.WithAlgorithm(algorithm),
			validatorv3.WithIssuer(issuer.String()),
			validatorv3.WithAudience("https://api.example"))
		if err != nil {
			return err
		}
		_, err = validator.ValidateToken(ctx, token)
		return err
	}
}

func zitadel(fixture report.Fixture) verifier {
	return func(ctx context.Context, token string) error {
		metadata, err := client.Discover(ctx, fixture.Issuer, httphelper.DefaultHTTPClient)
		if err != nil {
			return err
		}
		keys := rp.NewRemoteKeySet(httphelper.DefaultHTTPClient, metadata.JwksURI)
		verifier := op.NewAccessTokenVerifier(fixture.Issuer, keys,
			op.WithSupportedAccessTokenSigningAlgorithms(metadata.IDTokenSigningAlgValuesSupported...))
		_, err = op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, verifier)
		return err
	}
}

func jwx(issuer, audience string) verifier {
	return func(ctx context.Context, token string) error {
		keys, err := jwk.Fetch(ctx, issuer+"/.well-known/jwks.json")
		if err != nil {
			return err
		}
		_, err = jwxt.Parse([]byte(token), jwxt.WithKeySet(keys), jwxt.WithIssuer(issuer), jwxt.WithAudience(audience))
		return err
	}
}

// vault verifies as the JWT authentication of Vault, Consul and Nomad does with oidc_discovery_url.
func vault(fixture report.Fixture) verifier {
	return func(ctx context.Context, token string) error {
		keys, err := cap.NewOIDCDiscoveryKeySet(ctx, fixture.Issuer, "")
		if err != nil {
			return err
		}
		validator, err := cap.NewValidator(keys)
		if err != nil {
			return err
		}
		_, err = validator.Validate(ctx, token, cap.Expected{
			Issuer:            fixture.Issuer,
			Audiences:         []string{fixture.Audience},
			SigningAlgorithms: []cap.Alg{cap.ES256, cap.RS256, cap.EdDSA},
		})
		return err
	}
}
