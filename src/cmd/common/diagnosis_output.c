/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/diagnosis_output.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"

enum { TITLE_WIDTH = 14, DIAGNOSIS_OUTPUT_MAX = 1024 * KiB };

const char *const diagnosis_formats[] = { "text", "json", NULL };

static const struct {
        const char *mark, *word;
} states[] = {
        [DIAGNOSIS_NOT_REACHED] = { "", "not reached" }, [DIAGNOSIS_RUNNING] = { "", "not reached" },
        [DIAGNOSIS_PASSED] = { "✓", "passed" },         [DIAGNOSIS_NOT_NEEDED] = { "-", "not needed" },
        [DIAGNOSIS_WARNED] = { "!", "warning" },        [DIAGNOSIS_FAILED] = { "✗", "failed" },
};

static bool is_reached(const struct diagnosis_row *r)
{
        return r->state != DIAGNOSIS_NOT_REACHED && r->state != DIAGNOSIS_RUNNING;
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* The first line of a step follows its title. */
static void put_line(struct buf *out, size_t *lines, const char *before, const char *text)
{
        if ((*lines)++ > 0)
                buf_printf(out, "%*s", TITLE_WIDTH + 3, "");
        buf_printf(out, "%s%s\n", before, text);
}

static void put_row(struct buf *out, enum diagnosis_step step, const struct diagnosis_row *r)
{
        size_t lines = 0;

        buf_printf(out, "%s %-*s ", states[r->state].mark, TITLE_WIDTH, diagnosis_title(step));
        if (r->detail != NULL)
                put_line(out, &lines, "", r->detail);
        if (r->err == NULL)
                return;
        put_line(out, &lines, "", r->err->what);
        for (const struct error *cause = r->err->cause; cause != NULL; cause = cause->cause)
                put_line(out, &lines, "because ", cause->what);
        if (r->err->hint != NULL)
                put_line(out, &lines, "remedy: ", r->err->hint);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *name, const char *text)
{
        buf_printf(out, ", \"%s\": ", name);
        json_put_string(out, str_of(text));
}

static void put_json_row(struct buf *out, enum diagnosis_step step, const struct diagnosis_row *r)
{
        buf_printf(out, "    {\"step\": \"%s\", \"result\": \"%s\"", diagnosis_key(step), states[r->state].word);
        if (r->detail != NULL)
                put_member(out, "detail", r->detail);
        if (r->err != NULL) {
                put_member(out, r->state == DIAGNOSIS_FAILED ? "error" : "warning", r->err->what);
                if (r->err->hint != NULL)
                        put_member(out, "remedy", r->err->hint);
        }
        if (r->err != NULL && r->err->cause != NULL) {
                buf_put_c(out, ", \"causes\": [");
                for (const struct error *cause = r->err->cause; cause != NULL; cause = cause->cause) {
                        json_put_string(out, str_of(cause->what));
                        buf_put_c(out, cause->cause == NULL ? "]" : ", ");
                }
        }
        buf_put_char(out, '}');
}

static void put_json(struct buf *out, const struct diagnosis *d)
{
        bool is_first = true;

        buf_put_c(out, "{\n  \"address\": ");
        json_put_string(out, str_of(d->address));
        buf_printf(out, ",\n  \"connects\": %s,\n  \"steps\": [", diagnosis_failed_at(d) == DIAGNOSIS_STEPS ? "true" : "false");
        for (int i = 0; i < DIAGNOSIS_STEPS; i++) {
                if (!is_reached(&d->rows[i]))
                        continue;
                buf_put_c(out, is_first ? "\n" : ",\n");
                put_json_row(out, (enum diagnosis_step)i, &d->rows[i]);
                is_first = false;
        }
        buf_put_c(out, "\n  ]\n}\n");
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

/* Prints the steps that are reached or, while the walk goes on, settled. A step that another way of a join has changed is printed again. */
static struct error *print_text(struct diagnosis_output *o, bool is_over)
{
        AUTO(buf) out = BUF_MAX(DIAGNOSIS_OUTPUT_MAX);

        for (int i = 0; i < DIAGNOSIS_STEPS; i++) {
                const struct diagnosis_row *r = &o->d->rows[i];
                AUTO(buf) row = BUF_MAX(DIAGNOSIS_OUTPUT_MAX);

                if (!is_reached(r) || (!is_over && !diagnosis_is_settled(o->d, (enum diagnosis_step)i)))
                        continue;
                put_row(&row, (enum diagnosis_step)i, r);
                if (o->shown[i] != NULL && str_equal(buf_str(&row), str_of(o->shown[i])))
                        continue;
                free(o->shown[i]);
                o->shown[i] = str_dup(buf_str(&row));
                buf_put(&out, buf_str(&row));
        }
        return output_flush(&out);
}

static void on_changed(void *ctx)
{
        struct diagnosis_output *o = ctx;

        if (o->err == NULL)
                o->err = print_text(o, false);
}

void diagnosis_output_start(struct diagnosis_output *o, struct diagnosis *d, const struct flags *given)
{
        *o = (struct diagnosis_output){ .d = d, .is_text = output_is_text(given) };
        d->changed = o->is_text ? on_changed : NULL;
        d->ctx = o;
}

static struct error *print_rest(struct diagnosis_output *o)
{
        AUTO(buf) out = BUF_MAX(DIAGNOSIS_OUTPUT_MAX);
        struct error *err = o->err;

        o->err = NULL;
        if (err != NULL)
                return err;
        if (o->is_text)
                return print_text(o, true);
        put_json(&out, o->d);
        return output_flush(&out);
}

struct error *diagnosis_output_finish(struct diagnosis_output *o)
{
        const struct diagnosis *d = o->d;
        enum diagnosis_step failed = diagnosis_failed_at(d);

        TRY(print_rest(o));
        if (failed == DIAGNOSIS_STEPS)
                return NULL;
        return d->address == NULL ? error_new(ERROR_FAILED_PRECONDITION, "the connection fails at the step '%s'", diagnosis_title(failed))
                                  : error_new(ERROR_FAILED_PRECONDITION, "the connection to %s fails at the step '%s'", d->address, diagnosis_title(failed));
}

struct error *diagnosis_output_run(struct diagnosis_output *o, struct loop *l)
{
        loop_run(l);
        struct error *err = diagnosis_output_finish(o);
        loop_run(l);
        loop_release(l);
        return err;
}

void diagnosis_output_release(struct diagnosis_output *o)
{
        for (int i = 0; i < DIAGNOSIS_STEPS; i++)
                free(o->shown[i]);
        error_free(o->err);
        *o = (struct diagnosis_output){ 0 };
}
