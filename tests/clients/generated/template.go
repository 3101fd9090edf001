// Renders a template as Ollama does: with text/template, a map, and messages with a role and a content.
//
// Standard input: {"template": "...", "conversations": [[{"role": "user", "content": "..."}]]}; output: the texts.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func main() {
	var given struct {
		Template      string       `json:"template"`
		Conversations [][]*message `json:"conversations"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		log.Fatal(err)
	}
	parsed, err := template.New("").Option("missingkey=zero").Parse(given.Template)
	if err != nil {
		log.Fatal(err)
	}
	texts := []string{}
	for _, messages := range given.Conversations {
		var text strings.Builder
		if err := parsed.Execute(&text, map[string]any{"Messages": messages, "System": "", "Response": ""}); err != nil {
			log.Fatal(err)
		}
		texts = append(texts, text.String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(texts); err != nil {
		log.Fatal(err)
	}
}
