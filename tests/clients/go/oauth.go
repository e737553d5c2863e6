package main

import (
	"context"
	"errors"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	zitadeloidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"clients/internal/report"
)

func checkClients(fixture report.Fixture) {
	for name, style := range map[string]oauth2.AuthStyle{
		"client_secret_basic": oauth2.AuthStyleInHeader,
		"client_secret_post":  oauth2.AuthStyleInParams,
	} {
		report.Check("golang.org/x/oauth2", "gets a token by discovery and "+name, func(ctx context.Context) error {
			_, err := clientCredentials(ctx, fixture, style)
			return err
		})
	}
	report.Check("zitadel/oidc v3", "gets, introspects and revokes a token by discovery", func(ctx context.Context) error {
		return zitadelLifecycle(ctx, fixture)
	})
}

func clientCredentials(ctx context.Context, fixture report.Fixture, style oauth2.AuthStyle) (*oauth2.Token, error) {
	provider, err := oidc.NewProvider(ctx, fixture.Issuer)
	if err != nil {
		return nil, err
	}
	client := fixture.Clients["es256"]
	config := clientcredentials.Config{
		ClientID:     client.ID,
		ClientSecret: client.Secret,
		TokenURL:     provider.Endpoint().TokenURL,
		AuthStyle:    style,
	}
	return config.Token(ctx)
}

func zitadelLifecycle(ctx context.Context, fixture report.Fixture) error {
	client := fixture.Clients["es256"]
	party, err := rp.NewRelyingPartyOIDC(ctx, fixture.Issuer, client.ID, client.Secret, "", nil)
	if err != nil {
		return err
	}
	token, err := rp.ClientCredentials(ctx, party, url.Values{})
	if err != nil {
		return err
	}
	if err := isActive(ctx, fixture, token.AccessToken, true); err != nil {
		return err
	}
	if err := rp.RevokeToken(ctx, party, token.AccessToken, "access_token"); err != nil {
		return err
	}
	return isActive(ctx, fixture, token.AccessToken, false)
}

func isActive(ctx context.Context, fixture report.Fixture, token string, want bool) error {
	issuer, api := fixture.Issuer, fixture.Clients["api"]
	server, err := rs.NewResourceServerClientCredentials(ctx, issuer, api.ID, api.Secret)
	if err != nil {
		return err
	}
	answer, err := rs.Introspect[*zitadeloidc.IntrospectionResponse](ctx, server, token)
	if err != nil {
		return err
	}
	if answer.Active != want {
		return errors.New("introspection answers wrongly")
	}
	return nil
}
