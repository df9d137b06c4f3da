/* SPDX-License-Identifier: Apache-2.0 */
#include "session/sftp_log.h"

#include "base/text.h"

enum { FLAGS_MAX = 256 };

/* The text before the first path of a line, up to its quote, and the text before the second path. */
struct form {
        struct str prefix;
        const char *action;
        struct str second; /* empty: the line has one path */
};

#define FORM(prefix_text, action_name, second_text) { STR_INIT(prefix_text), action_name, STR_INIT(second_text) }

/* Strings that sftp-server prints. The text after a path has the flags of the operation. */
static const struct form forms[] = {
        FORM("open \"", "open", ""),
        FORM("close \"", "close", ""),
        FORM("forced close \"", "close", ""),
        FORM("opendir \"", "opendir", ""),
        FORM("remove name \"", "remove", ""),
        FORM("mkdir name \"", "mkdir", ""),
        FORM("rmdir name \"", "rmdir", ""),
        FORM("set \"", "setstat", ""),
        FORM("lset \"", "setstat", ""),
        FORM("rename old \"", "rename", "\" new \""),
        FORM("posix-rename old \"", "rename", "\" new \""),
        FORM("symlink old \"", "symlink", "\" new \""),
        FORM("hardlink old \"", "link", "\" new \""),
};

static const struct str notes[] = {
        STR_INIT("session opened for local user "),
        STR_INIT("session closed for local user "),
        STR_INIT("received client version "),
        STR_INIT("realpath \""),
        STR_INIT("expand \""),
        STR_INIT("stat name \""),
        STR_INIT("lstat name \""),
        STR_INIT("fstat \""),
        STR_INIT("readlink \""),
        STR_INIT("statvfs \""),
        STR_INIT("fstatvfs \""),
        STR_INIT("fsync \""),
        STR_INIT("fsync (handle "),
        STR_INIT("closedir \""),
        STR_INIT("forced closedir \""),
        STR_INIT("users-groups-by-id: "),
        STR_INIT("home-directory \""),
        STR_INIT("copy-data from \""),
};

static const struct str statuses[] = {
        STR_INIT("End of file"),   STR_INIT("No such file"),  STR_INIT("Permission denied"), STR_INIT("Failure"),
        STR_INIT("Bad message"),   STR_INIT("No connection"), STR_INIT("Connection lost"),   STR_INIT("Operation unsupported"),
        STR_INIT("Unknown error"),
};

void sftp_operation_release(struct sftp_operation *op)
{
        buf_release(&op->path);
        buf_release(&op->target);
        buf_release(&op->flags);
}

static bool is_octal(char c)
{
        return c >= '0' && c <= '7';
}

/* Undoes vis(3) with VIS_OCTAL: \ooo is a byte, \\ a backslash. */
static void unvis(struct str s, struct buf *out)
{
        for (size_t i = 0; i < s.len; i++) {
                struct str rest = str_slice(s, i + 1, 3);

                if (s.ptr[i] == '\\' && rest.len == 3 && rest.ptr[0] <= '3' && is_octal(rest.ptr[0]) &&
                    is_octal(rest.ptr[1]) && is_octal(rest.ptr[2])) {
                        buf_put_u8(out, (uint8_t)((rest.ptr[0] - '0') << 6 | (rest.ptr[1] - '0') << 3 | (rest.ptr[2] - '0')));
                        i += 3;
                } else if (s.ptr[i] == '\\' && rest.len > 0 && rest.ptr[0] == '\\') {
                        buf_put_char(out, '\\');
                        i++;
                } else {
                        buf_put_char(out, s.ptr[i]);
                }
        }
}

static struct buf readable(struct str s, size_t limit)
{
        AUTO(buf) raw = BUF_MAX(SFTP_LINE_MAX);
        struct buf out = BUF_MAX(SFTP_PATH_MAX + 16); /* room for one escape and "..." beyond the limit */

        unvis(s, &raw);
        escape_text(&out, buf_str(&raw), limit);
        return out;
}

static size_t find(struct str s, struct str part)
{
        for (size_t i = 0; i + part.len <= s.len; i++)
                if (str_equal(str_slice(s, i, part.len), part))
                        return i;
        return s.len;
}

/* The path ends at the last quote, because the text that OpenSSH writes after it has no quotes. */
static size_t last_quote(struct str s)
{
        for (size_t i = s.len; i > 0; i--)
                if (s.ptr[i - 1] == '"')
                        return i - 1;
        return s.len;
}

/* The number after `word`; 0 if there is none. */
static uint64_t number_behind(struct str text, struct str word)
{
        size_t at = find(text, word);
        int64_t n = 0;

        if (at == text.len)
                return 0;
        struct str rest = str_slice(text, at + word.len, text.len);
        AUTO_PTR(error) err = parse_int(str_split(&rest, ' '), 0, INT64_MAX, "number of bytes", &n);
        return err == NULL ? (uint64_t)n : 0;
}

static void read_operation(const struct form *form, struct str rest, struct sftp_operation *ret)
{
        size_t end = last_quote(rest);
        struct str paths = str_slice(rest, 0, end), behind = str_trim(str_slice(rest, end + 1, rest.len));
        size_t middle = form->second.len > 0 ? find(paths, form->second) : paths.len;

        *ret = (struct sftp_operation){
                .action = form->action,
                .path = readable(str_slice(paths, 0, middle), SFTP_PATH_MAX),
                .target = readable(str_slice(paths, middle + form->second.len, paths.len), SFTP_PATH_MAX),
                .bytes_read = number_behind(behind, STR("bytes read ")),
                .bytes_written = number_behind(behind, STR("written ")),
        };
        if (str_starts_with(behind, STR("flags ")))
                behind = str_slice(behind, 6, behind.len);
        if (strcmp(form->action, "close") == 0)
                behind = (struct str){ 0 };
        ret->flags = readable(behind, FLAGS_MAX);
}

static bool is_note(struct str line)
{
        for (size_t i = 0; i < ARRAY_LEN(notes); i++)
                if (str_starts_with(line, notes[i]))
                        return true;
        return false;
}

static const char *status_named(struct str text)
{
        for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
                if (str_equal(text, statuses[i]))
                        return statuses[i].ptr;
        return "Failure";
}

enum sftp_line_kind sftp_log_line(struct str line, struct sftp_operation *ret, const char **ret_status)
{
        static const struct str sent_status = STR_INIT("sent status ");

        if (str_starts_with(line, sent_status)) {
                *ret_status = status_named(str_slice(line, sent_status.len, line.len));
                return SFTP_LINE_STATUS;
        }
        for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
                if (!str_starts_with(line, forms[i].prefix))
                        continue;
                read_operation(&forms[i], str_slice(line, forms[i].prefix.len, line.len), ret);
                return SFTP_LINE_OPERATION;
        }
        return is_note(line) ? SFTP_LINE_NOTE : SFTP_LINE_FOREIGN;
}
