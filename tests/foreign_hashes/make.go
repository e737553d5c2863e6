// Prints vectors of Go's bcrypt, Ory Hydra's hashers and Authelia's hashers, a JSON object a line. See README.md.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	cryptbcrypt "github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/pbkdf2"
	"github.com/go-crypt/crypt/algorithm/plaintext"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/ory/x/hasherx"
	"golang.org/x/crypto/bcrypt"
)

const strong = "Xy7-q2LmZ0vB9nTfKc4WsJd8RgHe3UaPi5oQ_1rEtYw"

type vector struct {
	MadeBy string `json:"made_by"`
	Secret string `json:"secret"`
	Hash   string `json:"hash"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type config struct{ algorithm string }

func (c config) HasherPBKDF2Config(context.Context) *hasherx.PBKDF2Config {
	return &hasherx.PBKDF2Config{Algorithm: c.algorithm, Iterations: 25000, SaltLength: 16, KeyLength: 32}
}

func (c config) HasherBcryptConfig(context.Context) *hasherx.BCryptConfig {
	return &hasherx.BCryptConfig{Cost: 5}
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	write := func(by, secret, hash string) { check(out.Encode(vector{by, secret, hash})) }

	text, err := bcrypt.GenerateFromPassword([]byte(strong), 5)
	check(err)
	write("golang.org/x/crypto/bcrypt", strong, string(text))
	text, err = bcrypt.GenerateFromPassword([]byte("hunter2"), 4)
	check(err)
	write("golang.org/x/crypto/bcrypt", "hunter2", string(text))

	for _, algorithm := range []string{"sha1", "sha256", "sha512"} {
		text, err = hasherx.NewHasherPBKDF2(config{algorithm}).Generate(context.Background(), []byte(strong))
		check(err)
		write("Ory Hydra pbkdf2-"+algorithm, strong, string(text))
	}
	text, err = hasherx.NewHasherBcrypt(config{}).Generate(context.Background(), []byte(strong))
	check(err)
	write("Ory Hydra bcrypt", strong, string(text))

	digest := func(by string, hasher algorithm.Hash, err error) {
		check(err)
		made, err := hasher.Hash(strong)
		check(err)
		write(by, strong, made.Encode())
	}
	sha512, err := pbkdf2.New(pbkdf2.WithVariantName("sha512"), pbkdf2.WithIterations(310000))
	digest("Authelia pbkdf2-sha512", sha512, err)
	id, err := argon2.New(argon2.WithVariantName("argon2id"), argon2.WithM(65536), argon2.WithT(3), argon2.WithP(4))
	digest("Authelia argon2id", id, err)
	memory, err := scrypt.New(scrypt.WithLN(16), scrypt.WithR(8), scrypt.WithP(1))
	digest("Authelia scrypt", memory, err)
	for _, variant := range []string{"sha256", "sha512"} {
		sha, err := shacrypt.New(shacrypt.WithVariantName(variant), shacrypt.WithIterations(2000))
		digest("Authelia sha2crypt "+variant, sha, err)
	}
	prehashed, err := cryptbcrypt.New(cryptbcrypt.WithVariant(cryptbcrypt.VariantSHA256), cryptbcrypt.WithIterations(10))
	digest("Authelia bcrypt-sha256", prehashed, err)
	for _, variant := range []string{"plaintext", "base64"} {
		clear, err := plaintext.New(plaintext.WithVariantName(variant))
		digest("Authelia "+variant, clear, err)
	}
}
