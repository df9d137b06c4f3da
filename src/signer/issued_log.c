/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/issued_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

enum { LINES_MAX = 256 * KiB }; /* two certificates of a hundred names */

struct error *issued_log_open(struct issued_log *log, const char *path)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat st;
        char last = '\n';

        if (fd < 0)
                return error_errno(errno, "cannot open the log of issued certificates, %s", shown);
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "the log of issued certificates, %s, is not a file", shown);
        if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) < 0)
                return error_errno(errno, "cannot read the log of issued certificates, %s", shown);
        *log = (struct issued_log){ .fd = fd, .is_torn = last != '\n' };
        fd = -1;
        return NULL;
}

void issued_log_release(struct issued_log *log)
{
        if (log->fd > 0)
                close(log->fd);
        *log = (struct issued_log){ 0 };
}

/* `, "name": "text"`, or without the comma as the first. */
static void put_text(struct buf *out, const char *name, struct str text)
{
        buf_printf(out, "%s\"%s\":", out->ptr[out->len - 1] == '{' ? "" : ",", name);
        json_put_string(out, text);
}

static void put_time(struct buf *out, const char *name, struct walltime t)
{
        AUTO(buf) text = BUF_MAX(64);

        walltime_put_rfc3339(&text, t);
        put_text(out, name, buf_str(&text));
}

static void put_list(struct buf *out, const struct str *items, size_t count, const char **separator)
{
        for (size_t i = 0; i < count; i++) {
                buf_put_c(out, *separator);
                json_put_string(out, items[i]);
                *separator = ",";
        }
}

static void put_key(struct buf *out, struct str key)
{
        AUTO(buf) text = BUF_MAX(128);
        uint8_t digest[32];

        sha256(key, digest);
        buf_put(&text, STR("sha256:"));
        hex_encode(&text, str_of_bytes(digest, sizeof digest));
        put_text(out, "key", buf_str(&text));
}

static void put_text_if_any(struct buf *out, const char *name, struct str text)
{
        if (!str_is_empty(text))
                put_text(out, name, text);
}

static void put_line(struct buf *out, const struct issued_order *order, struct walltime now, const struct issued *issued)
{
        bool is_person = !str_is_empty(order->user);
        const char *separator = "";

        buf_put_char(out, '{');
        put_time(out, "time", now);
        put_text(out, "kind", str_of(issued->kind));
        put_text(out, "serial", issued->serial);
        put_text_if_any(out, "user", order->user);
        put_text_if_any(out, "host_id", order->host_id);
        put_text_if_any(out, "node_name", order->node_name);
        put_text_if_any(out, "role", order->role);
        put_text(out, "reason", str_of(order->reason));
        put_time(out, "not_before", order->times.not_before);
        put_time(out, "not_after", order->times.not_after);
        put_key(out, issued->key);
        buf_printf(out, ",\"%s\":[", is_person ? "roles" : "system_roles");
        put_list(out, order->roles, order->role_count, &separator);
        separator = "";
        buf_printf(out, "],\"%s\":[", is_person ? "logins" : "names");
        put_list(out, issued->names, issued->name_count, &separator);
        put_list(out, issued->more_names, issued->more_name_count, &separator);
        buf_put_c(out, "]}\n");
}

/* One write for all lines: either they are there, or an error says so and the next write begins a line of its own. */
static struct error *append(struct issued_log *log, struct str bytes)
{
        ssize_t n;

        do
                n = write(log->fd, bytes.ptr, bytes.len);
        while (n < 0 && errno == EINTR);
        if (n == (ssize_t)bytes.len) {
                log->is_torn = false;
                return NULL;
        }
        log->is_torn = log->is_torn || n > 0;
        return error_hint(error_errno(n < 0 ? errno : ENOSPC, "cannot write the log of issued certificates"),
                          "no certificate leaves the signer without a line there: make room on its disk");
}

struct error *issued_log_write(struct issued_log *log, const struct issued_order *order, struct walltime now,
                               const struct issued *issued, size_t count)
{
        AUTO(buf) lines = BUF_MAX(LINES_MAX);

        if (log->is_torn)
                buf_put_char(&lines, '\n');
        for (size_t i = 0; i < count; i++)
                put_line(&lines, order, now, &issued[i]);
        TRY(buf_finish(&lines, "the line about a certificate"));
        return append(log, buf_str(&lines));
}
