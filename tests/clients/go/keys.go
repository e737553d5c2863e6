package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
)

// generateKeys writes private keys, as Go programs make them, to files named go.ALG.NAME.
func generateKeys(directory string) error {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed)
	if err != nil {
		return err
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	for _, key := range []struct {
		name, label string
		der         []byte
	}{
		{"go.ES256.x509-sec1", "EC PRIVATE KEY", sec1},
		{"go.EdDSA.x509-pkcs8", "PRIVATE KEY", pkcs8},
		{"go.RS256.x509-pkcs1", "RSA PRIVATE KEY", pkcs1},
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: key.label, Bytes: key.der})
		if err := os.WriteFile(filepath.Join(directory, key.name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
