/* SPDX-License-Identifier: Apache-2.0 */
/* tctl get and rm: resources by kind and name. A kind is a row. */
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/nodes_shared.h"
#include "cmd/tctl/output.h"
#include "cmd/tctl/tokens_shared.h"

const struct flag get_flags[] = {
        OUTPUT_FORMAT_FLAG("yaml"),
        { "with-secrets", 0, FLAG_SWITCH, .help = "Show the names of method token whole: they are secrets" },
        { "verbose", 'v', FLAG_SWITCH, .help = "Every column, nothing cut (--format=text)" },
        { NULL },
};

const struct argument get_arguments[] = {
        { "kind", .is_required = true, .help = "KIND, KIND/NAME or several with commas: tokens, nodes, instances; or all" },
        { NULL },
};

const struct argument rm_arguments[] = {
        { "resource", .is_required = true, .help = "KIND/NAME: token/iam-token, node/<host ID>" },
        { NULL },
};

/* ---- kinds ---------------------------------------------------------------------------------------- */

struct kind {
        const char *name, *plural;
        /* name NULL: all of them; NOT_FOUND when there is none of that name */
        struct error *(*find)(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                              size_t *ret_count);
        void (*put_table)(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose);
        const char *remove; /* method that deletes one, NULL: they come and go by themselves */
        const char *quote;  /* around the name in the sentence that says so */
};

static struct error *find_tokens(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                 size_t *ret_count)
{
        if (name != NULL) { /* who names it knows it */
                *ret = arena_alloc(s->arena, sizeof **ret);
                *ret_count = 1;
                return session_ask_name(s, "GetToken", name, &cteleport__v1__token__descriptor, *ret);
        }
        TRY(tokens_list(s, (Cteleport__V1__Token ***)ret, ret_count));
        if (!with_secrets)
                tokens_mask(s->arena, (Cteleport__V1__Token **)*ret, *ret_count);
        return NULL;
}

static void put_tokens(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        (void)is_verbose;
        tokens_put_table(out, (Cteleport__V1__Token *const *)msgs, count, clock_wall(clock_system()));
}

static struct error *not_found(const char *kind, const char *name)
{
        AUTO_MEM char *shown = escaped(str_of(name));

        return error_hint(error_new(ERROR_NOT_FOUND, "%s \"%s\" is not found", kind, shown), "list them all: tctl get %ss",
                          kind);
}

static struct error *find_nodes(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                size_t *ret_count)
{
        Cteleport__V1__Node **nodes = NULL;
        size_t count = 0, kept = 0;

        (void)with_secrets;
        TRY(nodes_list(s, &nodes, &count));
        for (size_t i = 0; i < count; i++)
                if (name == NULL || strcmp(nodes[i]->spec->hostname, name) == 0 ||
                    (nodes[i]->metadata != NULL && strcmp(nodes[i]->metadata->name, name) == 0))
                        nodes[kept++] = nodes[i];
        *ret = (ProtobufCMessage **)nodes;
        *ret_count = kept;
        return name != NULL && kept == 0 ? not_found("node", name) : NULL;
}

static void put_nodes(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        nodes_put_table(out, (Cteleport__V1__Node *const *)msgs, count, is_verbose);
}

static struct error *find_instances(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                                    size_t *ret_count)
{
        Cteleport__V1__Instance **instances = NULL;
        size_t count = 0, kept = 0;

        (void)with_secrets;
        TRY(instances_list(s, &instances, &count));
        for (size_t i = 0; i < count; i++)
                if (name == NULL || strcmp(instances[i]->spec->hostname, name) == 0 ||
                    (instances[i]->metadata != NULL && strcmp(instances[i]->metadata->name, name) == 0))
                        instances[kept++] = instances[i];
        *ret = (ProtobufCMessage **)instances;
        *ret_count = kept;
        return name != NULL && kept == 0 ? not_found("instance", name) : NULL;
}

static void put_instances(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose)
{
        instances_put_table(out, (Cteleport__V1__Instance *const *)msgs, count, is_verbose);
}

static const struct kind kinds[] = {
        { "token", "tokens", find_tokens, put_tokens, "DeleteToken", "\"" },
        { "node", "nodes", find_nodes, put_nodes, "DeleteNode", "" },
        { "instance", "instances", find_instances, put_instances, NULL, NULL },
};

static struct error *find_kind(struct str text, const struct kind **ret)
{
        AUTO_MEM char *shown = escaped(text);

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (str_equal_nocase(text, str_of(kinds[i].name)) || str_equal_nocase(text, str_of(kinds[i].plural))) {
                        *ret = &kinds[i];
                        return NULL;
                }
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "there are no resources of type \"%s\"", shown),
                          "the types are token, node and instance");
}

/* ---- get ------------------------------------------------------------------------------------------ */

struct found {
        const struct kind *kind;
        ProtobufCMessage **msgs;
        size_t count;
};

static struct error *find(struct session *s, const struct flags *given, struct str what, struct found *ret)
{
        struct str kind = str_split(&what, '/');

        TRY(find_kind(kind, &ret->kind));
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
                rest = STR("tokens,nodes,instances");
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

struct error *rm_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        struct str name = str_of(flags_argument(given, 0));
        const struct kind *kind = NULL;
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        TRY(find_kind(str_split(&name, '/'), &kind));
        if (name.len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the name of the %s is missing", kind->name),
                                  "write, for example: tctl rm %s/<name>", kind->name);
        if (kind->remove == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "an %s cannot be removed", kind->name),
                                  "it disappears some time after its last heartbeat; a host goes with: tctl rm node/<ID>");
        TRY(session_open(&s, given));
        AUTO_MEM char *shown = escaped(name);
        TRY(session_ask_name(&s, kind->remove, str_to_c(s.arena, name), &cteleport__v1__empty__descriptor, &answer));
        printf("%s %s%s%s has been deleted\n", kind->name, kind->quote, shown, kind->quote);
        return NULL;
}
