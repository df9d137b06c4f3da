/* SPDX-License-Identifier: Apache-2.0 */
/* tctl tokens explain: shows whether a token admits an AWS identity, rule by rule. */
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "tctl.pb-c.h"

const struct flag tokens_explain_flags[] = {
        { "account", 0, FLAG_TEXT, .value = "DIGITS", .is_required = true, .help = "AWS account of the host" },
        { "arn", 0, FLAG_TEXT, .value = "ARN", .is_required = true,
          .help = "ARN of the host, as `aws sts get-caller-identity` shows it there" },
        { "role", 0, FLAG_TEXT, .value = "ROLE", .help = "Requested role; default: any service" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

const struct argument tokens_explain_arguments[] = {
        { "token", .is_required = true, .help = "Name of the token" },
        { NULL },
};

static void put_text(struct buf *out, const Cteleport__V1__ExplainTokenResponse *answer)
{
        static const char *const titles[] = { "Rule", "Matches", "Why", NULL };
        AUTO_PTR(table) t = table_new(titles);
        AUTO_MEM char *summary = escaped(str_of(answer->summary));

        buf_printf(out, "%s\n", summary);
        for (size_t i = 0; i < answer->n_rules; i++) {
                AUTO(buf) number = BUF_MAX(32);

                buf_printf(&number, "%u", answer->rules[i]->index);
                TABLE_ROW(t, buf_str(&number), answer->rules[i]->matches ? STR("yes") : STR("no"),
                          str_of(answer->rules[i]->text));
        }
        if (answer->n_rules > 0)
                buf_put_char(out, '\n');
        if (answer->n_rules > 0)
                table_put(out, t);
}

static void put_view(struct buf *out, const struct flags *given, struct arena *arena,
                     const Cteleport__V1__ExplainTokenResponse *answer)
{
        Cteleport__Tctl__V1__Explanation view = CTELEPORT__TCTL__V1__EXPLANATION__INIT;

        view.has_allowed = true;
        view.allowed = answer->allowed;
        view.summary = answer->summary;
        view.rules = arena_alloc(arena, (answer->n_rules + 1) * sizeof *view.rules);
        for (size_t i = 0; i < answer->n_rules; i++) {
                Cteleport__Tctl__V1__Rule *rule = arena_alloc(arena, sizeof *rule);

                cteleport__tctl__v1__rule__init(rule);
                rule->has_index = rule->has_matches = true;
                rule->index = answer->rules[i]->index;
                rule->matches = answer->rules[i]->matches;
                rule->text = answer->rules[i]->text;
                view.rules[view.n_rules++] = rule;
        }
        output_put_one(out, given, &view.base);
}

struct error *tokens_explain_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__ExplainTokenRequest request = CTELEPORT__V1__EXPLAIN_TOKEN_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        request.token = pb_text(flags_argument(given, 0));
        request.account = pb_text(flags_text(given, "account"));
        request.arn = pb_text(flags_text(given, "arn"));
        if (flags_text(given, "role") != NULL)
                request.role = pb_text(flags_text(given, "role"));
        TRY(session_open(&s, given));
        TRY(session_request(&s, "ExplainToken", &request.base, &cteleport__v1__explain_token_response__descriptor, &answer));
        if (output_is_text(given))
                put_text(&out, (Cteleport__V1__ExplainTokenResponse *)answer);
        else
                put_view(&out, given, s.arena, (Cteleport__V1__ExplainTokenResponse *)answer);
        return output_flush(&out);
}
