// Package report prints one line per check, and reads what scripts/check-clients started.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client is a registered client.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// Imported is a token that an imported key signed.
type Imported struct{ Language, Name, Alg, Token string }

// Fixture is what the checks need to know.
type Fixture struct {
	Issuer       string            `json:"issuer"`
	Audience     string            `json:"audience"`
	SharedSecret string            `json:"shared_secret"`
	Clients      map[string]Client `json:"clients"`
	ImportIssuer string            `json:"import_issuer"`
	Imported     []Imported        `json:"imported"`
}

// Read reads a fixture.
func Read(file string) (Fixture, error) {
	var fixture Fixture
	text, err := os.ReadFile(file)
	if err != nil {
		return fixture, err
	}
	return fixture, json.Unmarshal(text, &fixture)
}

// Token gets an access token of a client.
func (fixture Fixture) Token(name string) (string, error) {
	client := fixture.Clients[name]
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ID}, "client_secret": {client.Secret}}
	response, err := http.PostForm(fixture.Issuer+"/oauth/token", form)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the token endpoint answers %d", response.StatusCode)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	return answer.AccessToken, json.NewDecoder(response.Body).Decode(&answer)
}

// Forged is the token with its signature changed.
func Forged(token string) string {
	start := strings.LastIndex(token, ".") + 1
	changed := "A"
	if token[start] == 'A' {
		changed = "B"
	}
	return token[:start] + changed + token[start+1:]
}

var failed bool

// Check runs a check. library: its name and version; what: what holds if it returns nil.
func Check(library, what string, check func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := check(ctx); err != nil {
		failed = true
		fmt.Printf("FAILED go %s: %s: %v\n", library, what, err)
		return
	}
	fmt.Printf("ok go %s: %s\n", library, what)
}

// Verifies checks that a token of a client is accepted, and rejected with a changed signature.
func Verifies(fixture Fixture, library, client string, verify func(context.Context, string) error) {
	Check(library, "verifies "+client, func(ctx context.Context) error {
		token, err := fixture.Token(client)
		if err != nil {
			return err
		}
		if err := verify(ctx, token); err != nil {
			return err
		}
		if verify(ctx, Forged(token)) == nil {
			return errors.New("a changed signature is accepted")
		}
		return nil
	})
}

// Rejects checks that a token of a client is rejected.
func Rejects(fixture Fixture, library, client string, verify func(context.Context, string) error) {
	Check(library, "rejects "+client, func(ctx context.Context) error {
		token, err := fixture.Token(client)
		if err != nil {
			return err
		}
		if verify(ctx, token) == nil {
			return errors.New("it is accepted")
		}
		return nil
	})
}

// Exit ends the process: 1 if a check failed.
func Exit() {
	if failed {
		os.Exit(1)
	}
}
