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

/* Carriage returns go too: they are the rest of line ends of other systems, never meant. */
static struct str trim(struct str s)
{
        while (s.len > 0 && (is_blank(s.ptr[0]) || s.ptr[0] == '\r'))
                s = str_slice(s, 1, s.len);
        while (s.len > 0 && (is_blank(s.ptr[s.len - 1]) || s.ptr[s.len - 1] == '\r'))
                s.len--;
        return s;
}

/* Names of profiles and of properties. */
static bool is_name(struct str s)
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
        bool in_section;                 /* also in one that is ignored */
        struct profile_section *section; /* NULL in one that is ignored */
        bool in_property;                /* also in one that is ignored */
        struct property *property;
        bool began_empty; /* that property, ignored or not */
};

#define syntax_error(p, ...) error_wrap(error_new(ERROR_INVALID_ARGUMENT, __VA_ARGS__), "%s:%d", (p)->name, (p)->line)

static void warn(struct parser *p, const char *what)
{
        if (p->set->warning_count < PROFILE_WARNINGS_MAX)
                p->set->warnings[p->set->warning_count++] = mem_printf("%s:%d: %s", p->name, p->line, what);
}

/* Finds or makes the section that a header means; NULL for one that the standard ignores. */
static struct error *section_of(struct parser *p, struct str header, struct profile_section **ret)
{
        static const struct {
                const char *prefix;
                enum profile_kind kind;
        } prefixes[] = {
                { "profile", PROFILE_KIND_PROFILE },
                { "sso-session", PROFILE_KIND_SSO_SESSION },
                { "services", PROFILE_KIND_SERVICES },
        };
        struct str first = header, name;
        enum profile_kind kind = PROFILE_KIND_PROFILE;
        bool is_known = false, is_bare = false;

        *ret = NULL;
        for (size_t i = 0; i < header.len && first.len == header.len; i++)
                if (is_blank(header.ptr[i]))
                        first.len = i;
        name = trim(str_slice(header, first.len, header.len));
        if (p->file == PROFILE_FILE_CREDENTIALS) {
                is_known = str_is_empty(name);
                name = first;
        } else if (str_is_empty(name)) {
                is_known = is_bare = str_equal(first, STR("default"));
                name = first;
        } else {
                for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                        if (str_equal(first, str_of(prefixes[i].prefix))) {
                                is_known = true;
                                kind = prefixes[i].kind;
                        }
                }
        }
        if (!is_known || !is_name(name)) {
                warn(p, p->file == PROFILE_FILE_CONFIG ?
                                "this section is ignored: it is neither [default] nor [profile NAME] with a plain name" :
                                "this section is ignored: its name is not a plain profile name");
                return NULL;
        }
        *ret = find(p->set, kind, name, is_bare);
        if (*ret != NULL)
                return NULL;
        if (p->set->count == PROFILE_SECTIONS_MAX)
                return error_wrap(error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d sections", PROFILE_SECTIONS_MAX),
                                  "%s:%d", p->name, p->line);
        struct profile_section *made = NEW(struct profile_section);
        *made = (struct profile_section){ .kind = kind, .name = str_dup(name), .is_bare = is_bare };
        p->set->sections = mem_resize(p->set->sections, p->set->count + 1, sizeof made);
        p->set->sections[p->set->count++] = made;
        *ret = made;
        return NULL;
}

static struct error *take_header(struct parser *p, struct str line)
{
        for (size_t i = 0; i < line.len; i++)
                if (line.ptr[i] == '#' || line.ptr[i] == ';')
                        line.len = i;
        line = trim(line);
        if (!str_ends_with(line, STR("]")))
                return syntax_error(p, "a section must end with ']'");
        p->in_section = true;
        p->in_property = false;
        p->property = NULL;
        return section_of(p, trim(str_slice(line, 1, line.len - 2)), &p->section);
}

static struct error *take_property(struct parser *p, struct str line)
{
        if (!p->in_section)
                return syntax_error(p, "expected a section such as [default] first");
        line = trim(line);
        for (size_t i = 1; i < line.len; i++)
                if ((line.ptr[i] == '#' || line.ptr[i] == ';') && is_blank(line.ptr[i - 1]))
                        line.len = i;
        size_t equals = str_find_char(line, '=');
        if (equals == line.len)
                return syntax_error(p, "expected an '=' between key and value");
        struct str name = trim(str_slice(line, 0, equals));
        struct str value = trim(str_slice(line, equals + 1, line.len));
        if (str_is_empty(name))
                return syntax_error(p, "the value has no key before its '='");

        p->in_property = true;
        p->property = NULL;
        p->began_empty = str_is_empty(value);
        if (p->section == NULL)
                return NULL;
        if (!is_name(name)) {
                warn(p, "this key is ignored: its name is not a plain word");
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
        if (!p->in_section)
                return syntax_error(p, "expected a section such as [default] first");
        if (!p->in_property)
                return syntax_error(p, "an indented line continues a value, but no key stands before it");
        line = trim(line);
        if (p->began_empty) {
                size_t equals = str_find_char(line, '=');

                if (equals == line.len)
                        return syntax_error(p, "expected an '=' in a line below a key without a value");
                if (str_is_empty(trim(str_slice(line, 0, equals))))
                        return syntax_error(p, "the value has no key before its '='");
        }
        if (line.ptr[0] == '#' || line.ptr[0] == ';')
                warn(p, "this comment is indented and so part of the value above it");
        if (p->property != NULL) {
                buf_put_char(&p->property->value, '\n');
                buf_put(&p->property->value, line);
        }
        return NULL;
}

static struct error *take_line(struct parser *p, struct str line)
{
        if (str_is_empty(trim(line)) || line.ptr[0] == '#' || line.ptr[0] == ';')
                return NULL;
        if (line.ptr[0] == '[')
                return take_header(p, line);
        if (is_blank(line.ptr[0]))
                return take_continuation(p, line);
        return take_property(p, line);
}

/* [default] counts only if there is no [profile default]. */
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

/* Moves the sections and warnings of `from` into s; those of one name become one. */
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
                        from->sections[i] = NEW(struct profile_section); /* something to free in its place */
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
        /* A set of its own: which [default] counts is known only at the end of a file. */
        struct profile_set fresh = { 0 };
        struct parser p = { .set = &fresh, .file = file, .name = name };
        struct error *err = NULL;

        if (str_starts_with(text, STR("\xef\xbb\xbf")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s:1: the file begins with a byte order mark", name),
                                  "save it as UTF-8 without a byte order mark");
        while (!str_is_empty(text) && err == NULL) {
                struct str line = str_split(&text, '\n');

                p.line++;
                err = take_line(&p, line);
        }
        settle_default(&fresh);
        if (err == NULL)
                err = join_sets(s, &fresh);
        profile_set_release(&fresh);
        return err;
}
