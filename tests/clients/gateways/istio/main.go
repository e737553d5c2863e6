// Command istio-filters prints the HTTP filters that Istio makes of RequestAuthentication and AuthorizationPolicy for the Envoy of a
// workload, as JSON. Istio's own resolver fetches the keys.
//
// usage: istio-filters FILE
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	configmemory "istio.io/istio/pilot/pkg/config/memory"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking"
	"istio.io/istio/pilot/pkg/networking/plugin/authn"
	"istio.io/istio/pilot/pkg/networking/plugin/authz"
	"istio.io/istio/pilot/pkg/serviceregistry/memory"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/kind"
	"istio.io/istio/pkg/util/sets"
)

const namespace = "default"

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	configs, _, err := crd.ParseInputs(string(text))
	if err != nil {
		return err
	}
	store := configmemory.Make(collections.Pilot)
	for _, config := range configs {
		config.Namespace = namespace
		if _, err := store.Create(config); err != nil {
			return err
		}
	}
	environment := model.NewEnvironment()
	environment.ServiceDiscovery = memory.NewServiceDiscovery()
	environment.ConfigStore = store
	environment.Watcher = meshwatcher.NewTestWatcher(mesh.DefaultMeshConfig())
	environment.Init()
	push := model.NewPushContext()
	// As after a change of policies, since the rest of a mesh is missing.
	before := model.NewPushContext()
	before.InitDone.Store(true)
	changed := sets.New(model.ConfigKey{Kind: kind.RequestAuthentication}, model.ConfigKey{Kind: kind.AuthorizationPolicy})
	push.InitContext(environment, before, &model.PushRequest{ConfigsUpdated: changed})
	push.JwtKeyResolver = model.NewJwksResolver(time.Hour, time.Hour, time.Hour, time.Second)
	proxy := &model.Proxy{Type: model.SidecarProxy, ConfigNamespace: namespace, Metadata: &model.NodeMetadata{}}
	class := networking.ListenerClassSidecarInbound
	filters := authn.NewBuilder(push, proxy).BuildHTTP(class)
	filters = append(filters, authz.NewBuilder(authz.Local, push, proxy, false).BuildHTTP(class)...)
	printed := []json.RawMessage{}
	for _, filter := range filters {
		text, err := protojson.Marshal(filter)
		if err != nil {
			return err
		}
		printed = append(printed, text)
	}
	return json.NewEncoder(os.Stdout).Encode(printed)
}
