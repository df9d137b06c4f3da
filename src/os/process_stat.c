/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_stat.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"

enum { STAT_MAX = 4 * KiB };

/* Numbered as in proc(5); parsing begins after the second field, the name in parentheses. */
enum {
        FIELD_STATE = 3, FIELD_PARENT = 4, FIELD_USER_TIME = 14, FIELD_SYSTEM_TIME = 15, FIELD_STARTED = 22, FIELD_RESIDENT = 24,
        FIELD_ARG_START = 48, FIELD_ARG_END = 49,
};

/* Every value fits an int64: addresses have 47 bits, times since the boot fewer. */
static bool parse_field(struct str word, int64_t max, uint64_t *ret)
{
        int64_t value = 0;
        AUTO_PTR(error) bad = parse_int(word, 0, max, "field", &value);

        *ret = (uint64_t)value;
        return bad == NULL;
}

bool process_stat_parse(struct str text, struct process_stat *ret)
{
        size_t close = text.len;
        uint64_t parent = 0, system_time = 0;
        bool is_good = true;

        *ret = (struct process_stat){ 0 };
        while (close > 0 && text.ptr[close - 1] != ')')
                close--;
        if (close == 0)
                return false;
        struct str rest = str_trim(str_slice(text, close, text.len));
        for (int field = FIELD_STATE; field <= FIELD_ARG_END; field++) {
                struct str word = str_split(&rest, ' ');

                if (field == FIELD_PARENT)
                        is_good &= parse_field(word, INT32_MAX, &parent);
                else if (field == FIELD_USER_TIME)
                        is_good &= parse_field(word, INT64_MAX, &ret->cpu);
                else if (field == FIELD_SYSTEM_TIME)
                        is_good &= parse_field(word, INT64_MAX, &system_time);
                else if (field == FIELD_RESIDENT)
                        is_good &= parse_field(word, INT64_MAX, &ret->resident);
                else if (field == FIELD_STARTED)
                        is_good &= parse_field(word, INT64_MAX, &ret->started);
                else if (field == FIELD_ARG_START)
                        is_good &= parse_field(word, INT64_MAX, &ret->arguments);
                else if (field == FIELD_ARG_END)
                        is_good &= parse_field(word, INT64_MAX, &ret->arguments_end);
        }
        ret->parent = (pid_t)parent;
        ret->cpu += system_time;
        return is_good;
}

bool process_stat_read(pid_t pid, struct process_stat *ret)
{
        AUTO_MEM char *path = pid == 0 ? str_dup(STR("/proc/self/stat")) : mem_printf("/proc/%ld/stat", (long)pid);
        AUTO(buf) text = BUF_MAX(STAT_MAX);
        AUTO_PTR(error) err = file_read(path, &text);

        return err == NULL && process_stat_parse(buf_str(&text), ret);
}
