/* SPDX-License-Identifier: Apache-2.0 */
#include "schema/node.h"

#include <yaml.h>

#include "base/library.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

/* The state of an open list or mapping. */
struct level {
        struct node *node;
        struct node_item **end; /* the position of its next item */
        struct node *key;       /* mapping: a key whose value has not been parsed yet */
        struct map keys;        /* mapping: the keys parsed so far */
        struct str anchor;
};

struct anchor {
        struct str name;
        struct node *node; /* NULL while the node is open */
        struct anchor *next;
};

/* libyaml is loaded while a text is parsed: a process of a service parses none, and the supervisor only its configuration. */
struct yaml_api {
        __typeof__(yaml_parser_initialize) *initialize;
        __typeof__(yaml_parser_set_encoding) *set_encoding;
        __typeof__(yaml_parser_set_input_string) *set_input;
        __typeof__(yaml_parser_parse) *parse;
        __typeof__(yaml_parser_delete) *delete;
        __typeof__(yaml_event_delete) *delete_event;
};

static const struct library_function functions[] = {
        { "yaml_parser_initialize", offsetof(struct yaml_api, initialize) },
        { "yaml_parser_set_encoding", offsetof(struct yaml_api, set_encoding) },
        { "yaml_parser_set_input_string", offsetof(struct yaml_api, set_input) },
        { "yaml_parser_parse", offsetof(struct yaml_api, parse) },
        { "yaml_parser_delete", offsetof(struct yaml_api, delete) },
        { "yaml_event_delete", offsetof(struct yaml_api, delete_event) },
};

static const struct library libyaml = {
        .file = "libyaml-0.so.2",
        .package = "libyaml-0-2",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

struct builder {
        const struct yaml_api *yaml;
        struct arena *arena;
        const char *file;
        struct node_item *documents, **documents_end;
        struct level levels[LIMIT_YAML_DEPTH];
        unsigned depth;
        struct anchor *anchors; /* of this document, newest first */
        int aliases;
        size_t weight;          /* total of all documents */
        struct error *mistakes; /* duplicate keys, as a chain */
};

static void builder_release(struct builder *b)
{
        for (size_t i = 0; i < ARRAY_LEN(b->levels); i++)
                map_release(&b->levels[i].keys);
        error_free(b->mistakes);
}

#define place_error(b, mark, ...)                                                                            \
        error_wrap(error_new(ERROR_INVALID_ARGUMENT, __VA_ARGS__), "%s:%zu:%zu", (b)->file, (mark).line + 1, \
                   (mark).column + 1)

/* ---- building ------------------------------------------------------------------------------------ */

static struct node *new_node(struct builder *b, enum node_kind kind, yaml_mark_t mark)
{
        struct node *n = arena_alloc(b->arena, sizeof *n);

        n->kind = kind;
        n->line = (int)mark.line + 1;
        n->column = (int)mark.column + 1;
        n->weight = 1;
        return n;
}

static struct node_item *append(struct builder *b, struct node_item ***end, struct node *key, struct node *value)
{
        struct node_item *item = arena_alloc(b->arena, sizeof *item);

        item->key = key;
        item->value = value;
        **end = item;
        *end = &item->next;
        return item;
}

static void set_anchor(struct builder *b, struct str name, struct node *node)
{
        struct anchor *anchor = arena_alloc(b->arena, sizeof *anchor);

        *anchor = (struct anchor){ name, node, b->anchors };
        b->anchors = anchor;
}

static struct str copy(struct builder *b, const yaml_char_t *text)
{
        return text == NULL ? (struct str){ 0 } : arena_str(b->arena, str_of((const char *)text));
}

static struct error *take_key(struct builder *b, struct level *top, struct node *n)
{
        AUTO_MEM char *shown = escaped(n->text);

        if (n->kind == NODE_MAPPING && n->items != NULL && n->items->value->kind == NODE_SCALAR && node_is_null(n->items->value))
                return error_hint(node_error(b->file, n, "a key must be text, not a list or a mapping"),
                                  "put a template such as '{{ name }}' in quotes, or fill it in before");
        if (n->kind != NODE_SCALAR)
                return error_hint(node_error(b->file, n, "a key must be text, not a list or a mapping"), "put the key in quotes");
        const struct node *first = map_put(&top->keys, n->text, n);
        if (first != NULL)
                b->mistakes = error_also(b->mistakes, error_hint(node_error(b->file, n, "key '%s' occurs twice", shown),
                                                                 "keep one of them; the other is in line %d", first->line));
        top->key = n;
        return NULL;
}

/* Adds a finished node to its parent. */
static struct error *place(struct builder *b, struct node *n)
{
        if (b->depth == 0) {
                append(b, &b->documents_end, NULL, n);
                return NULL;
        }
        struct level *top = &b->levels[b->depth - 1];
        if (top->node->kind == NODE_MAPPING && top->key == NULL)
                return take_key(b, top, n);
        append(b, &top->end, top->key, n);
        top->node->weight += n->weight + (top->key != NULL);
        if (n->height + 1 > top->node->height)
                top->node->height = n->height + 1;
        top->key = NULL;
        return NULL;
}

static struct error *count(struct builder *b, yaml_mark_t mark, size_t weight)
{
        b->weight += weight;
        if (b->weight > LIMIT_YAML_NODES)
                return place_error(b, mark, "the file holds more than %d values", LIMIT_YAML_NODES);
        return NULL;
}

static struct error *open_level(struct builder *b, enum node_kind kind, yaml_mark_t mark, const yaml_char_t *anchor)
{
        if (b->depth == LIMIT_YAML_DEPTH)
                return place_error(b, mark, "lists and mappings are nested more than %d deep", LIMIT_YAML_DEPTH);
        struct level *level = &b->levels[b->depth++];
        *level = (struct level){ .node = new_node(b, kind, mark), .anchor = copy(b, anchor) };
        level->end = &level->node->items;
        if (anchor != NULL)
                set_anchor(b, level->anchor, NULL);
        return NULL;
}

static bool is_merge_key(const struct node *key)
{
        return key->is_plain && str_equal(key->text, STR("<<"));
}

/* Adds those pairs of a mapping whose keys are missing in the mapping being closed. */
static struct error *merge_mapping(struct builder *b, struct level *level, const struct node *from)
{
        if (from->kind != NODE_MAPPING)
                return node_error(b->file, from, "'<<' takes a mapping or a list of mappings");
        for (const struct node_item *i = from->items; i != NULL; i = i->next)
                if (map_get(&level->keys, i->key->text) == NULL) {
                        (void)map_put(&level->keys, i->key->text, i->key);
                        append(b, &level->end, i->key, i->value);
                }
        return NULL;
}

/*
 * Resolves `<<: *base` (the merge key of YAML 1.1): the mapping's own keys take precedence, then earlier mappings of a
 * list. The weight and height of merged nodes were counted when their alias was parsed.
 */
static struct error *merge_keys(struct builder *b, struct level *level)
{
        struct node_item **at = &level->node->items, *merge = NULL;

        while (*at != NULL && !is_merge_key((*at)->key))
                at = &(*at)->next;
        merge = *at;
        if (merge == NULL)
                return NULL;
        *at = merge->next;
        if (level->end == &merge->next)
                level->end = at;
        if (merge->value->kind != NODE_LIST)
                return merge_mapping(b, level, merge->value);
        for (const struct node_item *i = merge->value->items; i != NULL; i = i->next)
                TRY(merge_mapping(b, level, i->value));
        return NULL;
}

static struct error *close_level(struct builder *b)
{
        struct level *level = &b->levels[--b->depth];

        if (level->node->kind == NODE_MAPPING)
                TRY(merge_keys(b, level));
        map_release(&level->keys);
        if (level->anchor.len > 0)
                set_anchor(b, level->anchor, level->node);
        return place(b, level->node);
}

#define YAML_TAGS "tag:yaml.org,2002:"

/* Whether the tag is !!NAME. */
static bool is_tag(const yaml_char_t *tag, const char *name)
{
        struct str text = str_of((const char *)tag);

        return tag != NULL && str_starts_with(text, STR(YAML_TAGS)) && str_equal(str_slice(text, strlen(YAML_TAGS), text.len), str_of(name));
}

static struct error *take_scalar(struct builder *b, const yaml_event_t *e)
{
        struct node *n = new_node(b, NODE_SCALAR, e->start_mark);

        n->text = arena_str(b->arena, str_of_bytes(e->data.scalar.value, e->data.scalar.length));
        n->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_tag(e->data.scalar.tag, "str");
        if (e->data.scalar.anchor != NULL)
                set_anchor(b, copy(b, e->data.scalar.anchor), n);
        return place(b, n);
}

/*
 * An alias refers to its node, which is shared and never copied: its weight and height are counted
 * again, so that a few lines cannot represent millions of values.
 */
static struct error *take_alias(struct builder *b, const yaml_event_t *e)
{
        struct str name = str_of((const char *)e->data.alias.anchor);
        AUTO_MEM char *shown = escaped(name);
        const struct anchor *anchor = b->anchors;

        while (anchor != NULL && !str_equal(anchor->name, name))
                anchor = anchor->next;
        if (anchor == NULL)
                return error_hint(place_error(b, e->start_mark, "alias '%s' names nothing above it", shown),
                                  "put a value that begins with '*' in quotes");
        if (anchor->node == NULL)
                return place_error(b, e->start_mark, "alias '%s' is inside of its own anchor", shown);
        if (++b->aliases > LIMIT_YAML_ALIASES)
                return place_error(b, e->start_mark, "more than %d aliases", LIMIT_YAML_ALIASES);
        if (b->depth + anchor->node->height > LIMIT_YAML_DEPTH)
                return place_error(b, e->start_mark, "alias '%s' nests more than %d deep", shown, LIMIT_YAML_DEPTH);
        TRY(count(b, e->start_mark, anchor->node->weight));
        return place(b, anchor->node);
}

/* Accepts tags that state the actual type of the node: !!str, !!map and !!seq. Any other tag would change the value. */
static struct error *check_tag(struct builder *b, const yaml_char_t *tag, const char *meant, yaml_mark_t mark)
{
        if (tag == NULL || is_tag(tag, meant))
                return NULL;
        struct str text = str_of((const char *)tag);
        bool is_yaml = str_starts_with(text, STR(YAML_TAGS));
        AUTO_MEM char *shown = escaped(is_yaml ? str_slice(text, strlen(YAML_TAGS), text.len) : text);

        return error_hint(place_error(b, mark, "the tag '%s%s' has no meaning here", is_yaml ? "!!" : "", shown),
                          "write the value without the tag, in quotes if it is text");
}

static struct error *take_event(struct builder *b, const yaml_event_t *e)
{
        switch (e->type) {
        case YAML_DOCUMENT_START_EVENT:
                b->anchors = NULL;
                if (e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
                        return place_error(b, e->start_mark, "tag directives have no meaning here");
                return NULL;
        case YAML_SCALAR_EVENT:
                TRY(check_tag(b, e->data.scalar.tag, "str", e->start_mark));
                TRY(count(b, e->start_mark, 1));
                return take_scalar(b, e);
        case YAML_SEQUENCE_START_EVENT:
                TRY(check_tag(b, e->data.sequence_start.tag, "seq", e->start_mark));
                TRY(count(b, e->start_mark, 1));
                return open_level(b, NODE_LIST, e->start_mark, e->data.sequence_start.anchor);
        case YAML_MAPPING_START_EVENT:
                TRY(check_tag(b, e->data.mapping_start.tag, "map", e->start_mark));
                TRY(count(b, e->start_mark, 1));
                return open_level(b, NODE_MAPPING, e->start_mark, e->data.mapping_start.anchor);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                return close_level(b);
        case YAML_ALIAS_EVENT:
                return take_alias(b, e);
        default:
                return NULL;
        }
}

/* ---- libyaml ------------------------------------------------------------------------------------- */

/* Whether the line is indented with a tab, the most frequent mistake; for the hint. */
static bool is_indented_by_tabs(struct str text, size_t line)
{
        struct str at = { 0 };

        for (size_t i = 0; i <= line; i++)
                at = str_split(&text, '\n');
        for (size_t i = 0; i < at.len && (at.ptr[i] == ' ' || at.ptr[i] == '\t'); i++)
                if (at.ptr[i] == '\t')
                        return true;
        return false;
}

/* libyaml's messages for frequent mistakes, and our hints. */
static const struct slip {
        const char *problem, *what, *hint;
} slips[] = {
        { "did not find expected ',' or ']'", "a list that began with '[' has no ']'", "close the bracket, and put commas between the values" },
        { "did not find expected ',' or '}'", "a mapping that began with '{' has no '}'", "close the bracket, and put commas between the pairs" },
        { "did not find expected alphabetic or numeric character", "a value cannot begin with '*' or '&' here", "put the value in quotes" },
        { "found unexpected ':'", "a ':' is not expected here", "put a blank after the ':' of a key, or the value in quotes" },
        { "found unknown escape character", "a '\\' in double quotes begins an unknown escape sequence",
          "use single quotes, or write \\\\ for one backslash" },
        { "did not find expected hexdecimal number", "a '\\' in double quotes begins an unknown escape sequence",
          "use single quotes, or write \\\\ for one backslash" },
        { "found unexpected document indicator", "a line '---' or '...' is inside quotes", "close the quote that begins above" },
        { "found duplicate anchor; first occurrence", "an anchor is given twice", "give each anchor (&NAME) a name of its own" },
        { "did not find expected whitespace or line break", "a tag ('!') is not followed by a value", "put a value that begins with '!' in quotes" },
        { "did not find expected tag URI", "a tag ('!') is not complete", "put a value that begins with '!' in quotes" },
        { "found undefined tag handle", "a tag ('!') is not known", "put a value that begins with '!' in quotes" },
        { "did not find expected comment or line break", "the text after '|' or '>' is not expected here",
          "begin the text of the block in the next line, or put the value in quotes" },
        { "found incompatible YAML document", "the %YAML line names a version that is not read", "leave the line out" },
        { "found unknown directive name", "a line that begins with '%' is not expected here", "put a value that begins with '%' in quotes" },
        { "mapping keys are not allowed in this context", "a '?' is not expected here", "put a value that begins with '?' in quotes" },
        { "found a tab character that violates indentation", "a tab is not expected here", "use blanks: YAML does not allow tabs there" },
        { "found a tab character where an indentation space is expected", "a tab is not expected here", "use blanks: YAML does not allow tabs there" },
        { "did not find expected key", "the indentation is wrong, or a quote or bracket has no end above",
          "begin the keys of one mapping in the same column" },
        { "did not find expected <document start>", "the indentation is wrong: this line begins before the lines above",
          "begin the keys of one mapping in the same column" },
        { "did not find expected '-' indicator", "the indentation is wrong: an entry of the list above was expected",
          "begin every entry of the list with '-' in the same column" },
        { "mapping values are not allowed in this context", "a ':' is not expected here",
          "indent this line as the one above, or put the value in quotes if it contains ': '" },
        { "block sequence entries are not allowed in this context", "a '-' is not expected here",
          "begin the list below its key, and put a blank after each '-'" },
        { "could not find expected ':'", "the line has no ':' after its key", "write key: value, with a blank after the ':'" },
        { "did not find expected node content", "a value was expected here", "give the value, or close the bracket" },
        { "found unexpected end of stream", "a quote has no end", "close the quote that begins here" },
};

static const struct slip *find_slip(const char *problem)
{
        for (size_t i = 0; i < ARRAY_LEN(slips); i++)
                if (strcmp(slips[i].problem, problem) == 0)
                        return &slips[i];
        return NULL;
}

/* The line and column, in characters, of a byte offset. */
static yaml_mark_t mark_of(struct str text, size_t offset)
{
        yaml_mark_t mark = { 0 };

        for (size_t i = 0; i < offset && i < text.len; i++) {
                mark.column = text.ptr[i] == '\n' ? 0 : mark.column + ((text.ptr[i] & 0xc0) != 0x80);
                mark.line += text.ptr[i] == '\n';
        }
        return mark;
}

/*
 * The error for bytes that are not text. libyaml counts bytes from the beginning of the file. It reports the byte that
 * does not continue a character; the error is at the byte that began the character.
 */
static struct error *bytes_error(const struct builder *b, const yaml_parser_t *p, struct str text)
{
        size_t offset = p->problem_offset;

        if (str_starts_with(text, STR("\xff\xfe")) || str_starts_with(text, STR("\xfe\xff")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: the file is UTF-16", b->file), "save it as UTF-8");
        if (strcmp(p->problem, "invalid trailing UTF-8 octet") == 0)
                do
                        offset -= offset > 0;
                while (offset > 0 && (text.ptr[offset] & 0xc0) == 0x80);
        yaml_mark_t mark = mark_of(text, offset);
        unsigned value = offset < text.len ? (unsigned char)text.ptr[offset] : 0;
        if (strcmp(p->problem, "control characters are not allowed") == 0)
                return error_hint(place_error(b, mark, "a control character (byte 0x%02x) is not text", value),
                                  "remove the character; in double quotes, write it as an escape such as \\x%02x", value);
        return error_hint(place_error(b, mark, "the byte 0x%02x is not UTF-8", value), "save the file as UTF-8");
}

/* The error for a token: "@", "`" and "%" cannot begin a value, and a tab cannot indent. */
static struct error *token_error(const struct builder *b, yaml_mark_t mark, struct str text)
{
        struct str at = { 0 };

        for (size_t i = 0; i <= mark.line; i++)
                at = str_split(&text, '\n');
        size_t byte = 0;
        for (size_t characters = 0; byte < at.len; byte++) {
                characters += ((unsigned char)at.ptr[byte] & 0xc0) != 0x80;
                if (characters > mark.column)
                        break;
        }
        if (byte < at.len && at.ptr[byte] > ' ' && at.ptr[byte] <= '~')
                return error_hint(place_error(b, mark, "a value cannot begin with '%c'", at.ptr[byte]), "put the value in quotes");
        if (byte < at.len && at.ptr[byte] == '\t')
                return error_hint(place_error(b, mark, "a tab is not expected here"), "use blanks: YAML does not allow tabs there");
        return error_hint(place_error(b, mark, "a value cannot begin with this character"), "put the value in quotes");
}

/* libyaml's error, with its position. */
static struct error *parser_error(const struct builder *b, const yaml_parser_t *p, struct str text)
{
        yaml_mark_t mark = p->problem_mark;
        const char *problem = p->problem == NULL ? "this is not YAML" : p->problem;
        const struct slip *slip = find_slip(problem);

        if (p->error == YAML_READER_ERROR)
                return bytes_error(b, p, text);
        if (is_indented_by_tabs(text, mark.line))
                return error_hint(place_error(b, mark, "the line is indented with a tab"), "indent with blanks: YAML does not allow tabs there");
        if (strcmp(problem, "found unexpected end of stream") == 0 && p->context != NULL && p->context_mark.line != mark.line)
                return error_hint(place_error(b, p->context_mark, "a quote has no end"), "close the quote that begins here");
        struct error *err = strcmp(problem, "found character that cannot start any token") == 0
                                    ? token_error(b, mark, text)
                                    : place_error(b, mark, "%s", slip == NULL ? problem : slip->what);
        if (err->hint != NULL)
                return err;
        if (slip != NULL && p->context != NULL && p->context_mark.line != mark.line)
                return error_hint(err, "%s; see also line %zu", slip->hint, p->context_mark.line + 1);
        if (slip != NULL)
                return error_hint(err, "%s", slip->hint);
        if (p->context != NULL)
                return error_hint(err, "this came up %s, which begins in line %zu", p->context,
                                  p->context_mark.line + 1);
        return err;
}

static struct error *read_events(struct builder *b, yaml_parser_t *p, struct str text)
{
        for (bool at_end = false; !at_end;) {
                yaml_event_t e;

                if (!b->yaml->parse(p, &e))
                        return parser_error(b, p, text);
                at_end = e.type == YAML_STREAM_END_EVENT;
                struct error *err = take_event(b, &e);
                b->yaml->delete_event(&e);
                TRY(err);
        }
        return NULL;
}

struct error *node_parse_noting(struct arena *a, const char *file, struct str text, struct node_item **ret, struct error **ret_mistakes)
{
        struct yaml_api yaml;
        struct builder b = { .yaml = &yaml, .arena = a, .file = file, .documents_end = NULL };
        AUTO(library_use) use = { 0 };
        yaml_parser_t p;

        if (str_starts_with(text, STR("\xef\xbb\xbf"))) /* libyaml would count the mark as a column */
                text = str_slice(text, 3, text.len);
        if (text.len > LIMIT_YAML_FILE)
                return error_new(ERROR_INVALID_ARGUMENT, "%s: longer than %d bytes", file, LIMIT_YAML_FILE);
        TRY(library_use(&libyaml, &yaml, &use));
        if (!yaml.initialize(&p))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "%s: no memory for reading YAML", file);
        b.documents_end = &b.documents;
        yaml.set_encoding(&p, YAML_UTF8_ENCODING); /* otherwise a byte order mark could declare UTF-16 */
        yaml.set_input(&p, (const unsigned char *)(text.len == 0 ? "" : text.ptr), text.len);
        struct error *err = read_events(&b, &p, text);
        yaml.delete(&p);
        if (err == NULL) {
                *ret = b.documents;
                *ret_mistakes = b.mistakes;
                b.mistakes = NULL;
        }
        builder_release(&b);
        return err;
}

struct error *node_parse(struct arena *a, const char *file, struct str text, struct node_item **ret)
{
        struct error *mistakes = NULL;

        TRY(node_parse_noting(a, file, text, ret, &mistakes));
        return error_join(mistakes, file);
}

/* ---- plain scalars ------------------------------------------------------------------------------- */

bool node_is_null(const struct node *n)
{
        return n->kind == NODE_SCALAR && n->is_plain &&
               (n->text.len == 0 || str_equal(n->text, STR("~")) || str_equal_nocase(n->text, STR("null")));
}

static const struct bool_word {
        struct str word;
        bool value;
        bool is_yaml; /* a boolean of YAML; otherwise only Teleport takes it for one */
} bool_words[] = {
        { STR_INIT("yes"), true, true },   { STR_INIT("y"), true, true },     { STR_INIT("true"), true, true },
        { STR_INIT("on"), true, true },    { STR_INIT("yeah"), true, false }, { STR_INIT("1"), true, false },
        { STR_INIT("no"), false, true },   { STR_INIT("n"), false, true },    { STR_INIT("false"), false, true },
        { STR_INIT("off"), false, true },  { STR_INIT("nope"), false, false }, { STR_INIT("0"), false, false },
};

static const struct bool_word *find_bool_word(struct str text)
{
        for (size_t i = 0; i < ARRAY_LEN(bool_words); i++)
                if (str_equal_nocase(text, bool_words[i].word))
                        return &bool_words[i];
        return NULL;
}

bool text_as_bool(struct str text, bool *ret)
{
        const struct bool_word *word = find_bool_word(text);

        if (word != NULL)
                *ret = word->value;
        return word != NULL;
}

/* Skips the digits and underscores at the front; false when there are none. */
static bool skip_digits(struct str *s, bool is_hex)
{
        size_t len = 0;

        while (len < s->len) {
                char c = char_lower(s->ptr[len]);

                if (!char_is_digit(c) && c != '_' && !(is_hex && c >= 'a' && c <= 'f'))
                        break;
                len++;
        }
        *s = str_slice(*s, len, s->len);
        return len > 0;
}

static bool skip_any(struct str *s, const char *set)
{
        if (s->len == 0 || s->ptr[0] == '\0' || strchr(set, s->ptr[0]) == NULL)
                return false;
        *s = str_slice(*s, 1, s->len);
        return true;
}

/* Decimal with fraction and exponent, 0x, 0o, 0b, infinities and NaN (YAML 1.1 and 1.2, without base 60). */
static bool is_number(struct str s)
{
        skip_any(&s, "+-");
        if (str_equal_nocase(s, STR(".inf")) || str_equal_nocase(s, STR(".nan")))
                return true;
        if (s.len > 2 && s.ptr[0] == '0' && strchr("xXoObB", s.ptr[1]) != NULL) {
                s = str_slice(s, 2, s.len);
                return skip_digits(&s, true) && s.len == 0;
        }
        bool has_digits = s.len > 0 && s.ptr[0] != '_' && skip_digits(&s, false);
        if (skip_any(&s, "."))
                has_digits = skip_digits(&s, false) || has_digits;
        if (has_digits && skip_any(&s, "eE")) {
                skip_any(&s, "+-");
                has_digits = skip_digits(&s, false);
        }
        return has_digits && s.len == 0;
}

bool text_means_another_type(struct str text)
{
        const struct bool_word *word = find_bool_word(text);

        return text.len == 0 || str_equal(text, STR("~")) || str_equal_nocase(text, STR("null")) ||
               (word != NULL && word->is_yaml) || is_number(text);
}

const struct node *node_member(const struct node *mapping, struct str key)
{
        for (const struct node_item *i = mapping->items; i != NULL; i = i->next)
                if (str_equal(i->key->text, key))
                        return i->value;
        return NULL;
}
