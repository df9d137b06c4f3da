/* SPDX-License-Identifier: Apache-2.0 */
/* tctl create: writes the resources of a file, all checked before the first is written. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/config_find.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "cmd/tctl/tokens_shared.h"
#include "os/file.h"

const struct flag create_flags[] = {
        { "force", 'f', FLAG_SWITCH, .help = "Overwrite existing resources (tokens are always overwritten)" },
        { NULL },
};

const struct argument create_arguments[] = {
        { "file", .help = "YAML or JSON, one or several resources; standard input unless given" },
        { NULL },
};

/* The resources of the file, in order. */
struct resources {
        struct arena *arena;
        const char *file;
        struct resource {
                ProtobufCMessage *msg;
                int line;
        } *list;
        size_t count, room;
};

static struct error *collect(void *ctx, ProtobufCMessage *msg, int line)
{
        struct resources *all = ctx;

        TRY(kind_of(msg)->check(msg, all->arena));
        if (all->count == all->room) {
                all->room = 2 * all->room + 16;
                all->list = mem_resize(all->list, all->room, sizeof *all->list);
        }
        all->list[all->count++] = (struct resource){ msg, line };
        return NULL;
}

static struct error *placed(struct error *err, const struct resources *all, const struct resource *r)
{
        if (err == NULL || (err->code != ERROR_INVALID_ARGUMENT && err->code != ERROR_ALREADY_EXISTS))
                return err;
        return error_wrap(err, "%s:%d", all->file, r->line);
}

/* Lets the cluster check tokens, whose rules may conflict with those of other tokens. */
static struct error *try_tokens(struct session *s, const struct resources *all)
{
        for (size_t i = 0; i < all->count; i++)
                if (all->list[i].msg->descriptor == &cteleport__v1__token__descriptor)
                        TRY(placed(token_try(s, (Cteleport__V1__Token *)all->list[i].msg), all, &all->list[i]));
        return NULL;
}

/*
 * A resource is overwritten only if it still has the revision in the file, which `tctl get` printed. A revision that is
 * not a number is from another system and is ignored, as is the revision of a resource that does not exist.
 */
static struct error *guarding_revision(struct session *s, const struct kind *kind, const Cteleport__V1__Metadata *metadata,
                                       const char **ret)
{
        ProtobufCMessage **found = NULL;
        size_t count = 0;
        int64_t number;

        *ret = NULL;
        if (str_is_empty(str_of(metadata->revision)))
                return NULL;
        AUTO_PTR(error) foreign = parse_int(str_of(metadata->revision), 1, INT64_MAX, "revision", &number);
        if (foreign != NULL)
                return NULL;
        struct error *err = kind->find(s, metadata->name, false, &found, &count);
        if (err == NULL)
                *ret = metadata->revision;
        else if (err->code == ERROR_NOT_FOUND) {
                error_free(err);
                err = NULL;
        }
        return err;
}

static struct error *create(struct session *s, const struct resource *r, bool is_forced)
{
        const struct kind *kind = kind_of(r->msg);
        struct kind_put how = { .must_be_new = !is_forced && !kind->is_always_overwritten };
        bool was_there = false;

        if (!how.must_be_new)
                TRY(guarding_revision(s, kind, kind_metadata(r->msg), &how.if_revision));
        struct error *err = kind_write(s, kind, r->msg, how, &was_there);

        if (err != NULL && err->code == ERROR_ABORTED)
                return error_hint(err, "get its current text (tctl get) and repeat the change; without metadata.revision the file "
                                       "overwrites any version");
        if (err != NULL && err->code == ERROR_ALREADY_EXISTS)
                return error_hint(err, "use -f (--force) to overwrite it");
        if (err == NULL)
                kind_report_written(kind, r->msg, was_there);
        return err;
}

static struct error *create_all(struct session *s, const struct resources *all, bool is_forced)
{
        if (all->count > 1)
                TRY(try_tokens(s, all));
        for (size_t i = 0; i < all->count; i++)
                TRY(placed(create(s, &all->list[i], is_forced), all, &all->list[i]));
        return NULL;
}

struct error *create_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);
        const char *file = flags_argument(given, 0);
        struct schema_notes notes = { 0 };
        bool is_stdin = file == NULL || strcmp(file, "-") == 0 || strcmp(file, "/dev/stdin") == 0;

        (void)ctx;
        TRY(session_open(&s, given));
        struct resources all = { .arena = s.arena, .file = is_stdin ? "stdin" : file };
        TRY(file_read_input(is_stdin ? "-" : file, &text));
        struct error *err = schema_load_stream(s.arena, all.file, buf_str(&text), kinds_written, &notes, collect, &all);
        ignored_keys_print(notes.ignored);
        if (err == NULL && all.count == 0)
                err = error_hint(error_new(ERROR_INVALID_ARGUMENT, "no resources found, empty input?"),
                                 "give a file that begins with a line like: kind: token");
        if (err == NULL)
                err = create_all(&s, &all, flags_switch(given, "force"));
        free(all.list);
        return err;
}
