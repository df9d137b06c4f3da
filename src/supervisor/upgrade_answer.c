/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/upgrade_answer.h"

#include "api/service.h"
#include "base/metrics.h"
#include "base/text.h"

#define PROTOCOL "service protocol "

/* Digest of the first rows of this program's table, and of the processes behind the numbers of the label `process`. */
static void put_digest(struct buf *out, size_t rows)
{
        AUTO(buf) names = BUF_MAX(4 * KiB);
        const struct service_process *process;

        for (size_t i = 0; (process = services_process_at(i)) != NULL; i++)
                buf_printf(&names, "%s ", process->name);
        buf_printf(out, "%016llx", (unsigned long long)metric_rows_digest(metric_row(0), rows, buf_c(&names)));
}

void upgrade_answer_put(struct buf *out, size_t rows)
{
        const size_t shared = rows < METRIC_COUNT ? rows : METRIC_COUNT;

        buf_printf(out, PROTOCOL "%s, metrics %zu ", SERVICE_PROTOCOL, shared);
        put_digest(out, shared);
        buf_printf(out, " %zu\n", metrics_size());
}

static struct error *refusal(const char *why)
{
        return error_new(ERROR_FAILED_PRECONDITION, "%s: only a restart applies it", why);
}

/* Whether a word is a number within [0, max]. */
static bool take_number(struct str *rest, size_t max, size_t *ret)
{
        int64_t number = 0;
        AUTO_PTR(error) err = parse_int(str_split(rest, ' '), 0, (int64_t)max, "a number", &number);

        *ret = (size_t)number;
        return err == NULL;
}

static bool has_same_metrics(struct str text)
{
        AUTO(buf) digest = BUF_MAX(32);
        size_t rows, size;

        if (!str_equal(str_split(&text, ' '), STR("metrics")) || !take_number(&text, METRIC_COUNT, &rows))
                return false;
        put_digest(&digest, rows);
        return str_equal(str_split(&text, ' '), buf_str(&digest)) && take_number(&text, metrics_size_with_room(), &size) && text.len == 0;
}

struct error *upgrade_answer_check(struct str output, bool has_metrics)
{
        struct str rest = str_trim(output), line = rest;

        while (rest.len > 0)
                line = str_split(&rest, '\n');
        struct str protocol = str_split(&line, ',');
        if (!str_equal(protocol, STR(PROTOCOL SERVICE_PROTOCOL)))
                return refusal("its processes and those of the running program do not understand each other");
        if (has_metrics && !has_same_metrics(str_trim(line)))
                return refusal("teleport.diag_addr is set, and its processes and those of the running program do not record the same metrics");
        return NULL;
}
