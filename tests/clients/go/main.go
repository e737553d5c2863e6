// Command clients runs verifier and client libraries for Go against a server.
//
// usage: clients generate DIRECTORY | check FIXTURE
package main

import (
	"fmt"
	"os"

	"clients/internal/report"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: clients generate DIRECTORY | check FIXTURE"))
	}
	if os.Args[1] == "generate" {
		if err := generateKeys(os.Args[2]); err != nil {
			fail(err)
		}
		return
	}
	fixture, err := report.Read(os.Args[2])
	if err != nil {
		fail(err)
	}
	checkVerifiers(fixture)
	checkImported(fixture)
	checkClients(fixture)
	report.Exit()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
