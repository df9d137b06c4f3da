/* SPDX-License-Identifier: Apache-2.0 */
/* tctl edit: opens a resource in the user's editor, and writes it back unless it has changed meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/kinds.h"
#include "os/file.h"
#include "rpc/pb.h"

enum { EDITOR_WORDS_MAX = 16 };

const struct argument edit_arguments[] = {
        { "resource", .is_required = true, .help = "KIND/NAME: token/iam-token, role/access" },
        { NULL },
};

/* ---- the editor ----------------------------------------------------------------------------------- */

static const char *editor_command(void)
{
        static const char *const variables[] = { "TELEPORT_EDITOR", "VISUAL", "EDITOR" };

        for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
                const char *value = getenv(variables[i]);

                if (value != NULL && *value != '\0')
                        return value;
        }
        return "vi";
}

/* Words are split at blanks, without a shell. */
static struct error *run_editor(struct arena *arena, const char *path)
{
        struct str rest = str_of(editor_command());
        char *words[EDITOR_WORDS_MAX + 2] = { NULL };
        size_t count = 0;
        int status = 0;

        while (!str_is_empty(rest) && count < EDITOR_WORDS_MAX) {
                struct str word = str_split(&rest, ' ');

                if (word.len > 0)
                        words[count++] = pb_text(str_to_c(arena, word));
        }
        words[count] = pb_text(path);
        fflush(stdout);
        pid_t child = fork();
        if (child < 0)
                return error_errno(errno, "cannot start the editor");
        if (child == 0) {
                execvp(words[0], words);
                _exit(127);
        }
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "cannot wait for the editor");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                AUTO_MEM char *shown = escaped(str_of(words[0]));

                return error_hint(error_new(ERROR_CANCELLED, "the editor '%s' did not end well; nothing was changed", shown),
                                  "TELEPORT_EDITOR, VISUAL or EDITOR names the editor");
        }
        return NULL;
}

/* ---- the resource --------------------------------------------------------------------------------- */

static struct error *write_private_copy(struct str text, char *path)
{
        AUTO_FD int fd = mkstemps(path, (int)strlen(".yaml")); /* mode 0600 */

        if (fd < 0)
                return error_errno(errno, "cannot make a temporary file %s", path);
        return fd_write_all(fd, text) ? NULL : error_errno(errno, "cannot write %s", path);
}

static struct error *load_edited(struct session *s, const char *path, struct str text, const ProtobufCMessage *before,
                                 ProtobufCMessage **ret)
{
        const struct kind *kind = kind_of(before);

        TRY(schema_load_yaml(s->arena, path, text, kind->type, ret));
        TRY(kind->check(*ret, s->arena));
        if (strcmp(kind_metadata(*ret)->name, kind_metadata(before)->name) != 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "metadata.name was changed"),
                                  "edit cannot rename; use tctl create and tctl rm");
        return NULL;
}

static struct error *edit(struct session *s, const ProtobufCMessage *before, const char *path, struct str text)
{
        AUTO(buf) edited = BUF_MAX(LIMIT_YAML_FILE);
        ProtobufCMessage *after = NULL;
        bool was_there = false;

        TRY(run_editor(s->arena, path));
        TRY(file_read(path, &edited));
        if (str_equal(buf_str(&edited), text)) {
                printf("nothing was changed\n");
                return NULL;
        }
        TRY(load_edited(s, path, buf_str(&edited), before, &after));
        struct kind_put how = { .if_revision = kind_metadata(before)->revision };
        TRY(kind_write(s, kind_of(before), after, how, &was_there));
        kind_report_written(kind_of(before), after, true);
        return NULL;
}

static struct error *check_resource(const char *text, const struct kind **ret, struct str *ret_name)
{
        *ret_name = str_of(text);
        TRY(kind_find(str_split(ret_name, '/'), ret));
        if ((*ret)->put == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "resources of type \"%s\" cannot be edited", (*ret)->name),
                                  "%s", (*ret)->not_written);
        if (ret_name->len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the name of the %s is missing", (*ret)->name),
                                  "write: tctl edit %s/<name>", (*ret)->name);
        return NULL;
}

/* After any failure the file with the user's text is not removed. */
static struct error *report_kept(struct error *err, const char *path)
{
        if (err->hint == NULL)
                return error_hint(err, "your text is kept in %s", path);
        AUTO_MEM char *hint = str_dup(str_of(err->hint));
        return error_hint(err, "%s; your text is kept in %s", hint, path);
}

struct error *edit_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);
        const char *folder = getenv("TMPDIR");
        const struct kind *kind = NULL;
        struct str name = { 0 };
        ProtobufCMessage *before = NULL;

        (void)ctx;
        TRY(check_resource(flags_argument(given, 0), &kind, &name));
        TRY(session_open(&s, given));
        TRY(session_request_name(&s, kind->get, str_to_c(s.arena, name), kind->type, &before));
        if (kind_metadata(before) == NULL)
                return error_new(ERROR_DATA_LOSS, "the Auth Service sent a %s without metadata", kind->name);
        schema_put_yaml(&text, before);
        TRY(buf_finish(&text, "the resource"));
        char *path = pb_text(arena_printf(s.arena, "%s/tctl-edit-XXXXXX.yaml",
                                                     folder != NULL && folder[0] == '/' ? folder : "/tmp"));
        TRY(write_private_copy(buf_str(&text), path));
        struct error *err = edit(&s, before, path, buf_str(&text));
        if (err != NULL && err->code != ERROR_CANCELLED)
                return report_kept(err, path);
        unlink(path);
        return err;
}
