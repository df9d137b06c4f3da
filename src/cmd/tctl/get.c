/* SPDX-License-Identifier: Apache-2.0 */
/* tctl get and rm: resources by kind and name. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "cmd/tctl/nodes_shared.h"

const struct flag get_flags[] = {
        OUTPUT_FORMAT_FLAG("yaml"),
        { "with-secrets", 0, FLAG_SWITCH, .help = "Show the complete names of method token, which are secrets" },
        { "verbose", 'v', FLAG_SWITCH, .help = "All columns, without truncation (--format=text)" },
        { NULL },
};

const struct argument get_arguments[] = {
        { "kind", .is_required = true, .help = "KIND, KIND/NAME or several with commas: tokens, nodes, instances, roles, users, locks, apps, app_servers; or all" },
        { NULL },
};

const struct argument rm_arguments[] = {
        { "resource", .is_required = true, .help = "KIND/NAME: token/iam-token, node/<host ID>, user/alice, app_server/<host>/<name>" },
        { NULL },
};

/* ---- get ------------------------------------------------------------------------------------------ */

struct found {
        const struct kind *kind;
        ProtobufCMessage **msgs;
        size_t count;
};

static struct error *find(struct session *s, const struct flags *given, struct str what, struct found *ret)
{
        struct str kind = str_split(&what, '/');

        TRY(kind_find(kind, &ret->kind));
        return ret->kind->find(s, what.len == 0 ? NULL : str_to_c(s->arena, what), flags_switch(given, "with-secrets"),
                               &ret->msgs, &ret->count);
}

static void put_found(struct buf *out, const struct flags *given, const struct found *found)
{
        if (output_is_text(given))
                found->kind->put_table(out, found->msgs, found->count, flags_switch(given, "verbose"));
        else
                output_put_list(out, given, found->msgs, found->count);
}

struct error *get_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        struct str rest = str_of(flags_argument(given, 0));
        bool is_first = true;

        (void)ctx;
        TRY(session_open(&s, given));
        if (str_equal(rest, STR("all")))
                rest = STR("tokens,nodes,instances,roles,users,locks,apps,app_servers");
        if (str_find_char(rest, ',') < rest.len && strcmp(flags_text(given, "format"), "yaml") != 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "several kinds are printed as YAML only"),
                                  "ask for one kind, or leave --format out");
        while (!str_is_empty(rest)) {
                struct found found = { 0 };

                TRY(find(&s, given, str_trim(str_split(&rest, ',')), &found));
                if (!is_first && found.count > 0)
                        buf_put_c(&out, "---\n");
                put_found(&out, given, &found);
                is_first = is_first && found.count == 0;
        }
        return output_flush(&out);
}

/* ---- rm ------------------------------------------------------------------------------------------- */

/* The listed agent with this ID; NULL: not listed, or not visible to the user. */
static const Cteleport__V1__InstanceSpec *find_instance(struct session *s, const char *host_id)
{
        Cteleport__V1__Instance **all = NULL;
        size_t count = 0;
        AUTO_PTR(error) unseen = instances_list(s, &all, &count);

        for (size_t i = 0; unseen == NULL && i < count; i++)
                if (all[i]->metadata != NULL && str_equal_nocase(str_of(all[i]->metadata->name), str_of(host_id)))
                        return all[i]->spec;
        return NULL;
}

/* Warns that a machine joins again by itself if its token still exists. */
static void report_of_return(struct session *s, const Cteleport__V1__InstanceSpec *was)
{
        ProtobufCMessage *token = NULL;
        AUTO_MEM char *name = escaped(str_of(was->token_name)), *arn = escaped(str_of(was->aws_arn));

        if (strcmp(was->join_method, "token") == 0)
                printf("If the secret token that it joined with is still valid, this host joins again by itself, under a new ID.\n"
                       "To shut it out, remove that token: tctl tokens ls, tctl tokens rm\n");
        if (str_is_empty(str_of(was->aws_arn)))
                return;
        AUTO_PTR(error) err = session_request_name(s, "GetToken", was->token_name, &cteleport__v1__token__descriptor, &token);
        if (err != NULL && err->code == ERROR_NOT_FOUND)
                return;
        printf("%s\"%s\"%s a host that it admits joins again by itself, under a new ID.\n"
               "To shut %s out: tctl lock --join-arn='%s'\n",
               err == NULL ? "Its token " : "If its token ", name, err == NULL ? " is still there:" : " is still there,",
               strstr(was->aws_arn, ":assumed-role/") != NULL ? "this machine" : "all machines of its AWS identity", arn);
}

static struct error *remove_found(struct session *s, const struct kind *kind, const char *name)
{
        ProtobufCMessage **msgs = NULL;
        size_t count = 0;

        TRY(kind->find(s, name, false, &msgs, &count));
        return kind->remove_found(s, msgs, count);
}

struct error *rm_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        struct str name = str_of(flags_argument(given, 0));
        const struct kind *kind = NULL;
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        TRY(kind_find(str_split(&name, '/'), &kind));
        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the name of the %s is missing", kind->name),
                                  "write, for example: tctl rm %s/<name>", kind->name);
        if (kind->remove == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "an %s cannot be removed", kind->name),
                                  "%s", kind->kept_hint);
        TRY(session_open(&s, given));
        AUTO_MEM char *shown = escaped(name);
        if (kind->remove_found != NULL)
                return remove_found(&s, kind, str_to_c(s.arena, name));
        bool is_node = strcmp(kind->name, "node") == 0;
        const Cteleport__V1__InstanceSpec *was = is_node ? find_instance(&s, str_to_c(s.arena, name)) : NULL;
        TRY(session_request_name(&s, kind->remove, str_to_c(s.arena, name), &cteleport__v1__empty__descriptor, &answer));
        printf("%s %s%s%s has been deleted\n", kind->name, kind->removed_quote, shown, kind->removed_quote);
        if (was != NULL)
                report_of_return(&s, was);
        return NULL;
}
