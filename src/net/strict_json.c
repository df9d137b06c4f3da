/* SPDX-License-Identifier: Apache-2.0 */
#include "net/strict_json.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/secret.h"

static void free_wiped(void *p)
{
        if (p != NULL)
                wipe(p, malloc_usable_size(p));
        free(p);
}

/* jansson recurses as deep as the text does, so the depth is checked first. */
static bool is_shallow(struct str text)
{
        int depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '{' || c == '[') {
                        if (++depth > LIMIT_JSON_DEPTH)
                                return false;
                } else if (c == '}' || c == ']') {
                        depth--;
                }
        }
        return true;
}

struct error *strict_json_read(struct str text, const char *what, struct strict_json *ret)
{
        json_error_t why;

        if (!is_shallow(text))
                return error_new(ERROR_INVALID_ARGUMENT, "%s is nested too deeply", what);
        /* Applies to the whole process: documents parsed earlier are freed the same way, only wiped too. */
        json_set_alloc_funcs(malloc, free_wiped);
        json_t *root = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
        if (root == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "%s is not well-formed JSON (line %d, column %d)", what,
                                 why.line, why.column);
        if (!json_is_object(root)) {
                json_decref(root);
                return error_new(ERROR_INVALID_ARGUMENT, "%s is not a JSON object", what);
        }
        ret->root = root;
        return NULL;
}

void strict_json_release(struct strict_json *j)
{
        json_decref(j->root);
        j->root = NULL;
}

bool strict_json_text(const json_t *object, const char *key, struct str *ret)
{
        const json_t *value = json_object_get(object, key);

        if (!json_is_string(value))
                return false;
        *ret = (struct str){ json_string_value(value), json_string_length(value) };
        return true;
}
