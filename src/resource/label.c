/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/label.h"

#include "base/mem.h"
#include "base/text.h"

bool label_name_is_valid(struct str name)
{
        for (size_t i = 0; i < name.len; i++)
                if (!char_is_alnum(name.ptr[i]) && !str_contains(STR("/._:*-"), str_slice(name, i, 1)))
                        return false;
        return name.len > 0;
}

bool label_name_is_reserved(struct str name)
{
        static const struct str prefixes[] = { STR_INIT("teleport.dev/"), STR_INIT("teleport.internal/"), STR_INIT("teleport.hidden/") };

        name = str_trim(name);
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
                if (name.len >= prefixes[i].len && str_equal_nocase(str_slice(name, 0, prefixes[i].len), prefixes[i]))
                        return true;
        return false;
}

struct error *label_check_configured(struct str name, const char *setting)
{
        AUTO_MEM char *shown = escaped(name);

        if (!label_name_is_valid(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: '%s' is not a label's name", setting, shown),
                                  "use letters, digits and / . _ : * - only");
        if (label_name_is_reserved(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: the label '%s' is reserved for the cluster", setting, shown),
                                  "a host cannot set names below teleport.dev/, teleport.internal/ and teleport.hidden/; use another name");
        return NULL;
}
