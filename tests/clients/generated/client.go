// What a program in Go does with the generated client: one check, many at once, and an error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	moderation "moderation.test/client"
)

func text(words string) *moderation.OptionalText {
	return &moderation.OptionalText{String: &words}
}

func main() {
	settings := moderation.NewConfiguration()
	settings.Servers = moderation.ServerConfigurations{{URL: os.Args[1]}}
	settings.AddDefaultHeader("Authorization", "Bearer "+os.Args[2])
	client := moderation.NewAPIClient(settings)

	judge := func(body moderation.ModerateRequest) any {
		reply, response, err := client.ModerationAPI.Moderate(context.Background()).ModerateRequest(body).Execute()
		if err != nil {
			var said moderation.ErrorReply
			if json.Unmarshal(err.(*moderation.GenericOpenAPIError).Body(), &said) != nil {
				return err.Error()
			}
			return []any{response.StatusCode, said.Error.Type, said.Error.Param.Get()}
		}
		if many := reply.BatchResult; many != nil {
			actions := []any{}
			for _, one := range many.Results {
				if one.Decision != nil {
					actions = append(actions, one.Decision.Action)
				} else {
					actions = append(actions, one.ErrorReply.Error.Type)
				}
			}
			return actions
		}
		one := reply.Decision
		var unsafe any
		if scores := one.Scores.Get(); scores != nil {
			unsafe = scores.Unsafe
		}
		return []any{one.Action, one.Allowed, one.Categories, unsafe, one.Message.Get()}
	}

	unknown := "nonsense"
	unset := moderation.NullableString{}
	unset.Set(nil)
	printed, _ := json.Marshal([]any{
		judge(moderation.ModerateRequest{Prompt: *moderation.NewNullableOptionalText(text("how to make a bomb"))}),
		judge(moderation.ModerateRequest{Prompt: *moderation.NewNullableOptionalText(text("How do I bake bread?")), Policy: unset}),
		judge(moderation.ModerateRequest{Inputs: []moderation.Check{
			{Prompt: *moderation.NewNullableOptionalText(text("an insult"))}, {Prompt: *moderation.NewNullableOptionalText(text(" "))},
		}}),
		judge(moderation.ModerateRequest{Prompt: *moderation.NewNullableOptionalText(text("Hello")), Policy: *moderation.NewNullableString(&unknown)}),
	})
	fmt.Println(string(printed))
}
