/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile_file.h"

#include <stdlib.h>

#include "aws/profile_file_internal.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"

/* ---- values ----------------------------------------------------------------------------------------- */

static void property_release(struct property *p)
{
        free(p->name);
        wipe(p->value.ptr, p->value.len);
        buf_release(&p->value);
}

static void section_free(struct profile_section *p)
{
        for (size_t i = 0; i < p->count; i++)
                property_release(&p->properties[i]);
        free(p->properties);
        free(p->name);
        free(p);
}

void profile_set_release(struct profile_set *s)
{
        for (size_t i = 0; i < s->count; i++)
                section_free(s->sections[i]);
        free(s->sections);
        for (size_t i = 0; i < s->warning_count; i++)
                free(s->warnings[i]);
        *s = (struct profile_set){ 0 };
}

static struct property *property_in(const struct profile_section *p, enum profile_file file, struct str name)
{
        for (size_t i = 0; p != NULL && i < p->count; i++)
                if (p->properties[i].file == file && str_equal(str_of(p->properties[i].name), name))
                        return &p->properties[i];
        return NULL;
}

const char *profile_name(const struct profile_section *p)
{
        return p->name;
}

struct str profile_text_in(const struct profile_section *p, enum profile_file file, const char *key)
{
        const struct property *found = property_in(p, file, str_of(key));

        return found == NULL ? (struct str){ 0 } : buf_str(&found->value);
}

struct str profile_text(const struct profile_section *p, const char *key)
{
        const struct property *found = property_in(p, PROFILE_FILE_CREDENTIALS, str_of(key));

        if (found == NULL)
                found = property_in(p, PROFILE_FILE_CONFIG, str_of(key));
        return found == NULL ? (struct str){ 0 } : buf_str(&found->value);
}

bool profile_has(const struct profile_section *p, const char *key)
{
        return property_in(p, PROFILE_FILE_CREDENTIALS, str_of(key)) != NULL ||
               property_in(p, PROFILE_FILE_CONFIG, str_of(key)) != NULL;
}

static struct profile_section *find(const struct profile_set *s, enum profile_kind kind, struct str name, bool is_bare)
{
        for (size_t i = 0; i < s->count; i++)
                if (s->sections[i]->kind == kind && s->sections[i]->is_bare == is_bare &&
                    str_equal(str_of(s->sections[i]->name), name))
                        return s->sections[i];
        return NULL;
}

const struct profile_section *profile_set_find(const struct profile_set *s, enum profile_kind kind, struct str name)
{
        return find(s, kind, name, false);
}

/* ---- characters --------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static struct str trim(struct str s)
{
        while (s.len > 0 && is_blank(s.ptr[0]))
                s = str_slice(s, 1, s.len);
        while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
                s.len--;
        return s;
}

static bool is_comment(struct str s)
{
        return s.len > 0 && (s.ptr[0] == '#' || s.ptr[0] == ';');
}

/* Profile names may be in any script and may contain blanks, as in botocore. */
static bool is_profile_name(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
                        return false;
        return s.len > 0 && text_is_utf8(s);
}

/* Characters of property names. */
static bool is_key(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr("_-/.%@:+", s.ptr[i]) == NULL))
                        return false;
        return s.len > 0;
}

struct str profile_nested(struct str value, const char *name)
{
        struct str rest = value;

        while (!str_is_empty(rest)) {
                struct str line = str_split(&rest, '\n');
                struct str key = str_split(&line, '=');

                if (str_equal_nocase(trim(key), str_of(name)))
                        return trim(line);
        }
        return (struct str){ 0 };
}

/* ---- lines -------------------------------------------------------------------------------------------- */

struct parser {
        struct profile_set *set;
        enum profile_file file;
        const char *name;
        int line;
        size_t indent;                   /* of the last line that was not a continuation */
        bool in_section;                 /* also true in an ignored section */
        struct profile_section *section; /* NULL in an ignored section */
        bool in_property;                /* also true in an ignored property */
        struct property *property;
        bool began_empty; /* the current property, ignored or not, began with an empty value */
};

#define syntax_error(p, ...) error_wrap(error_new(ERROR_INVALID_ARGUMENT, __VA_ARGS__), "%s:%d", (p)->name, (p)->line)

static void warn(struct parser *p, const char *what)
{
        if (p->set->warning_count < PROFILE_WARNINGS_MAX)
                p->set->warnings[p->set->warning_count++] = mem_printf("%s:%d: %s", p->name, p->line, what);
}

/*
 * Removes the quotes from a name such as 'my corp', "my corp" or my" "corp. Returns false if the text has
 * more than one word or a quote is not closed.
 */
static bool unquote(struct str text, struct buf *ret)
{
        char quote = '\0';

        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (quote == '\0' && is_blank(c))
                        return false;
                if (quote == '\0' && (c == '\'' || c == '"'))
                        quote = c;
                else if (c == quote)
                        quote = '\0';
                else
                        buf_put_char(ret, c);
        }
        return quote == '\0';
}

/* Parses a header of the config file. *ret_name is empty for a section that the standard ignores. */
static void read_config_header(struct str header, enum profile_kind *ret_kind, bool *ret_is_bare, struct buf *ret_name)
{
        static const struct {
                const char *prefix;
                enum profile_kind kind;
        } prefixes[] = {
                { "profile", PROFILE_KIND_PROFILE },
                { "sso-session", PROFILE_KIND_SSO_SESSION },
                { "services", PROFILE_KIND_SERVICES },
        };
        size_t end = 0;

        while (end < header.len && !is_blank(header.ptr[end]))
                end++;
        struct str first = str_slice(header, 0, end), name = trim(str_slice(header, end, header.len));
        *ret_kind = PROFILE_KIND_PROFILE;
        *ret_is_bare = str_is_empty(name) && str_equal(first, STR("default"));
        if (*ret_is_bare)
                buf_put(ret_name, first);
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                if (!str_equal(first, str_of(prefixes[i].prefix)))
                        continue;
                *ret_kind = prefixes[i].kind;
                if (!unquote(name, ret_name))
                        buf_clear(ret_name);
        }
}

/* Finds or creates the section that a header names. *ret is NULL for a section that is ignored. */
static struct error *section_of(struct parser *p, struct str header, struct profile_section **ret)
{
        AUTO(buf) name = BUF_MAX(LIMIT_AWS_FILE);
        enum profile_kind kind = PROFILE_KIND_PROFILE;
        bool is_bare = false;

        *ret = NULL;
        if (p->file == PROFILE_FILE_CREDENTIALS)
                buf_put(&name, header);
        else
                read_config_header(header, &kind, &is_bare, &name);
        if (!is_profile_name(buf_str(&name))) {
                warn(p, p->file == PROFILE_FILE_CONFIG ?
                                "this section is ignored: it is neither [default] nor [profile NAME]; a name with blanks "
                                "needs quotes" :
                                "this section is ignored: its name is empty or is not text");
                return NULL;
        }
        *ret = find(p->set, kind, buf_str(&name), is_bare);
        if (*ret != NULL)
                return NULL;
        if (p->set->count == PROFILE_SECTIONS_MAX)
                return error_wrap(error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d sections", PROFILE_SECTIONS_MAX),
                                  "%s:%d", p->name, p->line);
        struct profile_section *made = NEW(struct profile_section);
        *made = (struct profile_section){ .kind = kind, .name = str_dup(buf_str(&name)), .is_bare = is_bare };
        p->set->sections = mem_resize(p->set->sections, p->set->count + 1, sizeof made);
        p->set->sections[p->set->count++] = made;
        *ret = made;
        return NULL;
}

/* The index of the ']' that ends a header, or line.len. Quotes count in the config file only. */
static size_t header_end(enum profile_file file, struct str line)
{
        char quote = '\0';

        for (size_t i = 1; i < line.len; i++) {
                char c = line.ptr[i];

                if (c == ']' && quote == '\0')
                        return i;
                if (file == PROFILE_FILE_CREDENTIALS)
                        continue;
                if (quote == '\0' && (c == '\'' || c == '"'))
                        quote = c;
                else if (c == quote)
                        quote = '\0';
        }
        return line.len;
}

static struct error *take_header(struct parser *p, struct str line)
{
        size_t end = header_end(p->file, line);

        if (end == line.len)
                return syntax_error(p, "a section must end with ']'");
        struct str rest = trim(str_slice(line, end + 1, line.len));
        if (!str_is_empty(rest) && !is_comment(rest))
                warn(p, "the text after ']' is ignored");
        p->in_section = true;
        p->in_property = false;
        p->property = NULL;
        return section_of(p, trim(str_slice(line, 1, end - 1)), &p->section);
}

/* The index of the first '=' or ':', or s.len. */
static size_t find_separator(struct str s)
{
        size_t equals = str_find_char(s, '='), colon = str_find_char(s, ':');

        return equals < colon ? equals : colon;
}

static struct error *take_property(struct parser *p, struct str line)
{
        if (!p->in_section)
                return syntax_error(p, "expected a section such as [default] first");
        for (size_t i = 1; i < line.len; i++)
                if ((line.ptr[i] == '#' || line.ptr[i] == ';') && is_blank(line.ptr[i - 1]))
                        line.len = i;
        size_t separator = find_separator(line);
        if (separator == line.len)
                return syntax_error(p, "expected an '=' between key and value");
        struct str name = trim(str_slice(line, 0, separator));
        struct str value = trim(str_slice(line, separator + 1, line.len));
        if (str_is_empty(name))
                return syntax_error(p, "the value has no key before its '%c'", line.ptr[separator]);

        p->in_property = true;
        p->property = NULL;
        p->began_empty = str_is_empty(value);
        if (p->section == NULL)
                return NULL;
        if (!is_key(name)) {
                warn(p, "this key is ignored: its name has other characters than letters, digits, '_' and '-'");
                return NULL;
        }
        AUTO_MEM char *lower = str_dup(name);
        for (char *c = lower; *c != '\0'; c++)
                *c = char_lower(*c);
        struct property *found = property_in(p->section, p->file, str_of(lower));
        if (found == NULL) {
                if (p->section->count == PROFILE_PROPERTIES_MAX)
                        return error_wrap(error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d keys in one section",
                                                    PROFILE_PROPERTIES_MAX),
                                          "%s:%d", p->name, p->line);
                p->section->properties =
                        mem_resize(p->section->properties, p->section->count + 1, sizeof *p->section->properties);
                found = &p->section->properties[p->section->count++];
                *found = (struct property){ .name = str_dup(str_of(lower)), .file = p->file };
        } else {
                wipe(found->value.ptr, found->value.len);
                buf_release(&found->value);
        }
        found->value = BUF_MAX(LIMIT_AWS_FILE);
        buf_put(&found->value, value);
        p->property = found;
        return NULL;
}

static struct error *take_continuation(struct parser *p, struct str line)
{
        if (p->began_empty) {
                size_t equals = str_find_char(line, '=');

                if (equals == line.len)
                        return syntax_error(p, "expected an '=' in a line below a key without a value");
                if (str_is_empty(trim(str_slice(line, 0, equals))))
                        return syntax_error(p, "the value has no key before its '='");
        }
        if (p->property != NULL) {
                buf_put_char(&p->property->value, '\n');
                buf_put(&p->property->value, line);
        }
        return NULL;
}

/*
 * A line continues a value only if it is indented deeper than the line of its key: files whose keys are
 * all indented are common, and the SDKs read them.
 */
static struct error *take_line(struct parser *p, struct str line)
{
        struct str text = trim(line);

        if (str_is_empty(text) || is_comment(text))
                return NULL;
        size_t indent = (size_t)(text.ptr - line.ptr);
        if (p->in_property && indent > p->indent)
                return take_continuation(p, text);
        p->indent = indent;
        return text.ptr[0] == '[' ? take_header(p, text) : take_property(p, text);
}

/* Removes the next line from the front. Lines end with LF, CRLF or, as in the AWS CLI, a lone CR. */
static struct str next_line(struct str *rest)
{
        struct str line = *rest;
        size_t end = 0;

        while (end < line.len && line.ptr[end] != '\n' && line.ptr[end] != '\r')
                end++;
        size_t next = end + (end + 1 < line.len && line.ptr[end] == '\r' && line.ptr[end + 1] == '\n' ? 2 : 1);
        *rest = str_slice(line, next, line.len);
        return str_slice(line, 0, end);
}

/* Ignores [default] if there is a [profile default]. */
static void settle_default(struct profile_set *s)
{
        struct profile_section *bare = find(s, PROFILE_KIND_PROFILE, STR("default"), true);
        size_t kept = 0;

        if (bare == NULL)
                return;
        if (find(s, PROFILE_KIND_PROFILE, STR("default"), false) == NULL) {
                bare->is_bare = false;
                return;
        }
        for (size_t i = 0; i < s->count; i++) {
                if (s->sections[i] == bare)
                        section_free(bare);
                else
                        s->sections[kept++] = s->sections[i];
        }
        s->count = kept;
}

/* Moves the sections and warnings of `from` into s; sections of one name are merged. */
static struct error *join_sets(struct profile_set *s, struct profile_set *from)
{
        for (size_t i = 0; i < from->count; i++) {
                struct profile_section *p = from->sections[i];
                struct profile_section *into = find(s, p->kind, str_of(p->name), false);

                if (into == NULL && s->count == PROFILE_SECTIONS_MAX)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d profiles", PROFILE_SECTIONS_MAX);
                if (into == NULL) {
                        s->sections = mem_resize(s->sections, s->count + 1, sizeof p);
                        s->sections[s->count++] = p;
                        from->sections[i] = NEW(struct profile_section); /* replaced by an empty section, which `from` frees */
                } else if (p->count > 0) {
                        into->properties = mem_resize(into->properties, into->count + p->count, sizeof *p->properties);
                        memcpy(into->properties + into->count, p->properties, p->count * sizeof *p->properties);
                        into->count += p->count;
                        p->count = 0;
                }
        }
        while (from->warning_count > 0 && s->warning_count < PROFILE_WARNINGS_MAX) {
                s->warnings[s->warning_count++] = from->warnings[0];
                memmove(from->warnings, from->warnings + 1, --from->warning_count * sizeof from->warnings[0]);
        }
        return NULL;
}

struct error *profile_set_add(struct profile_set *s, enum profile_file file, const char *name, struct str text)
{
        /* Parsed into a set of its own: only the end of a file shows which [default] is valid. */
        struct profile_set fresh = { 0 };
        struct parser p = { .set = &fresh, .file = file, .name = name };
        struct error *err = NULL;

        if (str_starts_with(text, STR("\xef\xbb\xbf")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s:1: the file begins with a byte order mark", name),
                                  "save it as UTF-8 without a byte order mark");
        while (!str_is_empty(text) && err == NULL) {
                struct str line = next_line(&text);

                p.line++;
                err = take_line(&p, line);
        }
        settle_default(&fresh);
        if (err == NULL)
                err = join_sets(s, &fresh);
        profile_set_release(&fresh);
        return err;
}
