/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"

static char *format_text(const char *format, va_list args) PRINTF_LIKE(1, 0);

static char *format_text(const char *format, va_list args)
{
        char *text = NULL;

        if (vasprintf(&text, format, args) < 0)
                bug("out of memory while formatting an error");
        return text;
}

static struct error *make(const char *file, int line, enum error_code code, char *what)
{
        struct error *err = NEW(struct error);

        err->code = code;
        err->what = what;
        err->file = file;
        err->line = line;
        return err;
}

struct error *error_new_at(const char *file, int line, enum error_code code, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        char *what = format_text(format, args);
        va_end(args);
        return make(file, line, code, what);
}

static enum error_code code_of_errno(int errnum)
{
        switch (errnum) {
        case ENOENT:
                return ERROR_NOT_FOUND;
        case EEXIST:
                return ERROR_ALREADY_EXISTS;
        case EACCES:
        case EPERM:
                return ERROR_PERMISSION_DENIED;
        case EROFS: /* neither a permission nor another user would help */
                return ERROR_FAILED_PRECONDITION;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case ENOMEM:
        case EMFILE:
        case ENFILE:
                return ERROR_RESOURCE_EXHAUSTED;
        case EINVAL:
                return ERROR_INVALID_ARGUMENT;
        case ETIMEDOUT:
                return ERROR_DEADLINE_EXCEEDED;
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EPIPE:
                return ERROR_UNAVAILABLE;
        default:
                return ERROR_INTERNAL;
        }
}

/* The remedy, for errors with the same remedy everywhere; NULL: the caller must provide it. */
static const char *hint_of_errno(int errnum)
{
        switch (errnum) {
        case ENOSPC:
                return "make room on that file system: df and df -i show how full it is";
        case EDQUOT:
                return "a quota is used up: remove files of that user, or raise the quota; quota shows it";
        case EFBIG:
                return "a limit on the size of files stops it: ulimit -f, or LimitFSIZE= of the unit";
        case EROFS:
                return "that file system is read-only: mount it for writing if that is intended; Linux makes it read-only by itself "
                       "when the disk fails (see dmesg)";
        default:
                return NULL;
        }
}

struct error *error_errno_at(const char *file, int line, int errnum, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        AUTO_MEM char *head = format_text(format, args);
        va_end(args);
        struct error *err = make(file, line, code_of_errno(errnum), mem_printf("%s: %s", head, strerror(errnum)));
        const char *hint = hint_of_errno(errnum);
        return hint == NULL ? err : error_hint(err, "%s", hint);
}

struct error *error_wrap_at(struct error *err, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        AUTO_MEM char *head = format_text(format, args);
        va_end(args);
        char *what = mem_printf("%s: %s", head, err->what);
        free(err->what);
        err->what = what;
        return err;
}

struct error *error_hint(struct error *err, const char *format, ...)
{
        va_list args;

        free(err->hint);
        va_start(args, format);
        err->hint = format_text(format, args);
        va_end(args);
        return err;
}

struct error *error_about(struct error *err, const char *format, ...)
{
        va_list args;

        for (struct error *e = err; e != NULL; e = e->also) {
                if (e->field != NULL)
                        continue;
                va_start(args, format);
                e->field = format_text(format, args);
                va_end(args);
        }
        return err;
}

struct error *error_because(struct error *err, struct error *cause)
{
        struct error **end = &err->cause;

        while (*end != NULL)
                end = &(*end)->cause;
        *end = cause;
        return err;
}

struct error *error_also(struct error *first, struct error *more)
{
        struct error **end = &first;
        size_t kept = 0, dropped = more == NULL ? 0 : more->dropped;

        for (; *end != NULL; end = &(*end)->also)
                kept++;
        *end = more;
        for (; *end != NULL && kept < LIMIT_YAML_MISTAKES; end = &(*end)->also)
                kept++;
        for (const struct error *e = *end; e != NULL; e = e->also)
                dropped++;
        error_free(*end);
        *end = NULL;
        if (first != NULL)
                first->dropped = (first == more ? 0 : first->dropped) + dropped;
        return first;
}

struct error *error_join(struct error *first, const char *subject)
{
        enum { TEXT_MAX = 256 * KiB };
        AUTO(buf) lines = BUF_MAX(TEXT_MAX);
        size_t count = 0;

        if (first == NULL || first->also == NULL)
                return first;
        for (const struct error *e = first; e != NULL; e = e->also, count++)
                buf_printf(&lines, "\n  %s%s%s", e->what, e->hint == NULL ? "" : "; ", e->hint == NULL ? "" : e->hint);
        if (first->dropped > 0)
                buf_printf(&lines, "\n  and %zu more", first->dropped);
        struct error *joined = error_new(first->code, "%s has %zu mistakes:%s", subject, count + first->dropped, buf_c(&lines));
        error_free(first);
        return joined;
}

struct error *error_copy(const struct error *err)
{
        if (err == NULL)
                return NULL;
        struct error *copy = make(err->file, err->line, err->code, str_dup(str_of(err->what)));
        if (err->hint != NULL)
                copy->hint = str_dup(str_of(err->hint));
        if (err->field != NULL)
                copy->field = str_dup(str_of(err->field));
        copy->reason = err->reason;
        copy->cause = error_copy(err->cause);
        copy->also = error_copy(err->also);
        copy->dropped = err->dropped;
        return copy;
}

struct error *error_for(struct error *err, enum error_reason reason)
{
        if (err != NULL)
                err->reason = reason;
        return err;
}

struct error *error_for_default(struct error *err, enum error_reason reason)
{
        return err == NULL || err->reason != REASON_NONE ? err : error_for(err, reason);
}

bool error_is_decision(const struct error *err)
{
        return err->reason >= REASON_TOKEN && err->reason <= REASON_REFUSED;
}

bool error_is_for(const struct error *err, enum error_reason reason)
{
        for (; err != NULL; err = err->cause)
                if (err->reason == reason)
                        return true;
        return false;
}

static const char *const reason_names[REASON_COUNT] = {
        [REASON_NONE] = "", [REASON_TOKEN] = "token", [REASON_LOCK] = "lock", [REASON_IDENTITY] = "identity",
        [REASON_HOST_ID] = "host-id", [REASON_ROLE] = "role", [REASON_REFUSED] = "refused",
        [REASON_NO_AUTH] = "no-auth",
};

const char *error_reason_name(enum error_reason reason)
{
        return reason_names[reason] == NULL ? "" : reason_names[reason];
}

enum error_reason error_reason_of(struct str name)
{
        for (size_t i = 0; i < REASON_COUNT; i++)
                if (reason_names[i] != NULL && str_equal(name, str_of(reason_names[i])))
                        return (enum error_reason)i;
        return REASON_NONE;
}

void error_free(struct error *err)
{
        while (err != NULL) {
                struct error *cause = err->cause;

                error_free(err->also); /* recursion: as deep as the chain is long, LIMIT_YAML_MISTAKES */
                free(err->what);
                free(err->hint);
                free(err->field);
                free(err);
                err = cause;
        }
}

static const char *const code_names[] = {
        [ERROR_CANCELLED] = "CANCELLED",
        [ERROR_UNKNOWN] = "UNKNOWN",
        [ERROR_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [ERROR_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [ERROR_NOT_FOUND] = "NOT_FOUND",
        [ERROR_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [ERROR_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [ERROR_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [ERROR_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [ERROR_ABORTED] = "ABORTED",
        [ERROR_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [ERROR_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [ERROR_INTERNAL] = "INTERNAL",
        [ERROR_UNAVAILABLE] = "UNAVAILABLE",
        [ERROR_DATA_LOSS] = "DATA_LOSS",
        [ERROR_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

const char *error_code_name(enum error_code code)
{
        size_t index = (size_t)code;

        if (index >= ARRAY_LEN(code_names) || code_names[index] == NULL)
                return "UNKNOWN";
        return code_names[index];
}

void error_print(const struct error *err)
{
        fprintf(stderr, "ERROR: %s\n", err->what);
        for (const struct error *cause = err->cause; cause != NULL; cause = cause->cause)
                fprintf(stderr, "\t%s\n", cause->what);
        if (err->hint != NULL)
                fprintf(stderr, "hint:  %s\n", err->hint);
        fputc('\n', stderr);
}
