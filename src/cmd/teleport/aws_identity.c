/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "aws/credentials.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "loop/loop.h"

const struct flag aws_identity_flags[] = {
        { "format", .letter = 'f', .kind = FLAG_TEXT, .value = "FORMAT", .fallback = "text",
          .choices = (const char *const[]){ "text", "json", NULL }, .help = "text or json" },
        { 0 },
};

/* The result, stored for use after the callback. */
struct answer {
        struct loop loop;
        struct aws_resolution resolution;
        struct error *err;
};

static void on_resolved(void *ctx, struct aws_resolution *r, struct error *err)
{
        struct answer *a = ctx;

        a->resolution = *r;
        *r = (struct aws_resolution){ 0 };
        a->err = err;
        loop_stop(&a->loop);
}

static struct error *resolve(struct answer *a)
{
        const struct aws_resolve_options options = { 0 };

        TRY(loop_init(&a->loop, NULL));
        struct aws_resolve *running = aws_resolve_start(&a->loop, &options, on_resolved, a);
        (void)running; /* never cancelled */
        loop_run(&a->loop);
        loop_release(&a->loop);
        return NULL;
}

/* ---- text ------------------------------------------------------------------------------------------------ */

static void print_line(const char *title, const char *text)
{
        AUTO_MEM char *shown = escaped(str_of(text));

        printf("%-12s: %s\n", title, shown);
}

/* Access key IDs are names, not secrets: every signed request and CloudTrail contain them. */
static void print_credentials(const struct aws_resolution *r)
{
        AUTO(buf) expiry = BUF_MAX(64);

        if (r->source == NULL) {
                print_line("Credentials", "none");
                return;
        }
        print_line("Credentials", r->source);
        AUTO_MEM char *key_id = str_dup(secret_str(&r->credentials.access_key_id));
        print_line("Access key", key_id);
        if (r->credentials.has_expiry) {
                walltime_put_rfc3339(&expiry, r->credentials.expiry);
                print_line("Expires", buf_c(&expiry));
        }
}

static void print_text(const struct aws_resolution *r)
{
        AUTO_MEM char *region = mem_printf("%s (from %s)", r->region == NULL ? "none" : r->region,
                                           r->region_source == NULL ? "nothing" : r->region_source);

        print_credentials(r);
        print_line("Region", region);
        print_line("STS host", r->sts.name[0] == '\0' ? "none" : r->sts.name);
        for (size_t i = 0; i < r->tried_count; i++) {
                AUTO_MEM char *line = mem_printf("%s: %s", r->tried[i].source, r->tried[i].outcome);

                print_line(i == 0 ? "Sources" : "", line);
        }
        for (size_t i = 0; i < r->warning_count; i++)
                print_line("Warning", r->warnings[i]);
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *text)
{
        json_object_set_new(object, key, text == NULL || text[0] == '\0' ? json_null() : json_string(text));
}

static json_t *attempts_json(const struct aws_resolution *r)
{
        json_t *tried = json_array();

        for (size_t i = 0; i < r->tried_count; i++) {
                json_t *one = json_object();

                set_text(one, "source", r->tried[i].source);
                set_text(one, "outcome", r->tried[i].outcome);
                json_array_append_new(tried, one);
        }
        return tried;
}

static void print_json(const struct aws_resolution *r, const struct error *err)
{
        json_t *whole = json_object(), *warnings = json_array();
        AUTO_MEM char *key_id = str_dup(secret_str(&r->credentials.access_key_id));
        AUTO(buf) expiry = BUF_MAX(64);

        if (r->credentials.has_expiry)
                walltime_put_rfc3339(&expiry, r->credentials.expiry);
        for (size_t i = 0; i < r->warning_count; i++)
                json_array_append_new(warnings, json_string(r->warnings[i]));
        set_text(whole, "source", r->source);
        set_text(whole, "access_key_id", key_id);
        set_text(whole, "expires", buf_c(&expiry));
        set_text(whole, "region", r->region);
        set_text(whole, "region_source", r->region_source);
        set_text(whole, "sts_host", r->sts.name);
        json_object_set_new(whole, "fips", json_boolean(r->fips));
        json_object_set_new(whole, "tried", attempts_json(r));
        json_object_set_new(whole, "warnings", warnings);
        set_text(whole, "error", err == NULL ? NULL : err->what);
        json_dumpf(whole, stdout, JSON_INDENT(4));
        putchar('\n');
        json_decref(whole);
}

struct error *aws_identity_run(void *ctx, const struct flags *given)
{
        struct answer a = { 0 };

        (void)ctx;
        TRY(resolve(&a));
        if (str_equal(str_of(flags_text(given, "format")), STR("json")))
                print_json(&a.resolution, a.err);
        else
                print_text(&a.resolution);
        aws_resolution_release(&a.resolution);
        return a.err;
}
