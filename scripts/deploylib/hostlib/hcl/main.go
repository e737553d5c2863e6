// Reads Terraform files with Terraform's own parser and prints them as JSON for scripts/deploylib/terraform: the blocks with the names of
// their attributes and what they refer to, the values of locals, and the files that are not formatted as `terraform fmt` does.
//
// usage: hcl-read DIRECTORY [VARIABLE=JSON…]
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

type block struct {
	File       string            `json:"file"`
	Type       string            `json:"type"`
	Labels     []string          `json:"labels"`
	Attributes map[string]string `json:"attributes"`
	References []string          `json:"references"`
	Blocks     []string          `json:"blocks"`
}

type result struct {
	Errors      []string                   `json:"errors"`
	Unformatted []string                   `json:"unformatted"`
	Blocks      []block                    `json:"blocks"`
	Locals      map[string]json.RawMessage `json:"locals"`
}

func main() {
	out := result{Errors: []string{}, Unformatted: []string{}, Locals: map[string]json.RawMessage{}}
	files, _ := filepath.Glob(filepath.Join(os.Args[1], "*.tf"))
	variables := map[string]cty.Value{}
	for _, argument := range os.Args[2:] {
		name, text, _ := strings.Cut(argument, "=")
		kind, err := ctyjson.ImpliedType([]byte(text))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		variables[name], _ = ctyjson.Unmarshal([]byte(text), kind)
	}
	locals := hclsyntax.Attributes{}
	for _, path := range files {
		name := filepath.Base(path)
		source, err := os.ReadFile(path)
		if err != nil {
			out.Errors = append(out.Errors, err.Error())
			continue
		}
		if string(hclwrite.Format(source)) != string(source) {
			out.Unformatted = append(out.Unformatted, name)
		}
		file, problems := hclsyntax.ParseConfig(source, name, hcl.InitialPos)
		for _, problem := range problems {
			out.Errors = append(out.Errors, problem.Error())
		}
		if problems.HasErrors() {
			continue
		}
		for _, b := range file.Body.(*hclsyntax.Body).Blocks {
			read := block{File: name, Type: b.Type, Labels: b.Labels, Attributes: map[string]string{}, References: []string{}, Blocks: []string{}}
			describe(&read, b.Body, source, "")
			out.Blocks = append(out.Blocks, read)
			if b.Type == "variable" {
				if given, ok := b.Body.Attributes["default"]; ok && variables[b.Labels[0]] == cty.NilVal {
					variables[b.Labels[0]], _ = given.Expr.Value(nil)
				}
			}
			if b.Type == "locals" {
				for key, attribute := range b.Body.Attributes {
					locals[key] = attribute
				}
			}
		}
	}
	evaluate(&out, locals, variables)
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
}

// describe notes the attributes of a body and of the blocks in it, and every reference in them.
func describe(read *block, body *hclsyntax.Body, source []byte, prefix string) {
	for name, attribute := range body.Attributes {
		read.Attributes[prefix+name] = string(attribute.Expr.Range().SliceBytes(source))
		for _, traversal := range attribute.Expr.Variables() {
			path := []string{}
			for _, step := range traversal {
				switch step := step.(type) {
				case hcl.TraverseRoot:
					path = append(path, step.Name)
				case hcl.TraverseAttr:
					path = append(path, step.Name)
				}
			}
			read.References = append(read.References, strings.Join(path, "."))
		}
	}
	for _, inner := range body.Blocks {
		read.Blocks = append(read.Blocks, inner.Type)
		describe(read, inner.Body, source, prefix+inner.Type+".")
	}
}

// evaluate computes the locals, in as many rounds as they need each other.
func evaluate(out *result, locals hclsyntax.Attributes, variables map[string]cty.Value) {
	functions := map[string]function.Function{
		"keys": stdlib.KeysFunc, "setproduct": stdlib.SetProductFunc, "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"can": tryfunc.CanFunc,
	}
	known := map[string]cty.Value{}
	last := map[string]string{}
	for range locals {
		for name, attribute := range locals {
			context := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{"var": cty.ObjectVal(variables), "local": cty.ObjectVal(known)}}
			value, problems := attribute.Expr.Value(context)
			if problems.HasErrors() {
				last[name] = problems.Error()
				continue
			}
			delete(last, name)
			known[name] = value
		}
	}
	for name, problem := range last {
		out.Errors = append(out.Errors, "local."+name+": "+problem)
	}
	for name, value := range known {
		text, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			out.Errors = append(out.Errors, "local."+name+": "+err.Error())
			continue
		}
		out.Locals[name] = text
	}
}
