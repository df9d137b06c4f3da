/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/label_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instance/labels.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "rpc/link.h"
#include "rpc/pb.h"

/* The test plays the process `labels`, captured or not. */
struct fixture {
        struct loop loop;
        Cteleport__V1__SSHConfig config;
        Cteleport__V1__Config whole;
        Cteleport__V1__CommandLabelConfig row, *rows[1];
        Cteleport__V1__AppServiceConfig service;
        Cteleport__V1__AppConfig app, *apps[1];
        const char *sent_app; /* of the next message; NULL: the host */
        struct label_values *values;
        struct link *labels;
        int changes, answers;
        enum error_code code; /* of the last answer; 0: it was taken */
};

static void on_changed(void *ctx)
{
        struct fixture *f = ctx;

        f->changes++;
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        int here, there;

        *state = f;
        assert_null(loop_init(&f->loop, NULL));
        cteleport__v1__sshconfig__init(&f->config);
        cteleport__v1__config__init(&f->whole);
        f->whole.ssh_service = &f->config;
        cteleport__v1__command_label_config__init(&f->row);
        f->row.name = pb_text("colour");
        f->rows[0] = &f->row;
        f->config.commands = f->rows;
        f->config.n_commands = 1;
        cteleport__v1__app_service_config__init(&f->service);
        cteleport__v1__app_config__init(&f->app);
        f->whole.app_service = &f->service;
        f->service.has_enabled = f->service.enabled = true;
        f->service.apps = f->apps;
        f->service.n_apps = 1;
        f->apps[0] = &f->app;
        f->app.name = pb_text("wiki");
        f->app.commands = f->rows;
        f->app.n_commands = 1;
        f->values = label_values_new(&f->loop, &f->whole, on_changed, f);
        assert_null(socket_pair(&here, &there));
        label_values_listen(f->values, here);
        f->labels = link_new(&f->loop, there, NULL, NULL);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        link_close(f->labels);
        label_values_free(f->values);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void on_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;

        (void)answer;
        f->answers++;
        f->code = err == NULL ? 0 : err->code;
        error_free(err);
        loop_stop(&f->loop);
}

static enum error_code send_message(struct fixture *f, uint16_t verb, const char *name, const char *result)
{
        Cteleport__Internal__V1__LabelResult sent = CTELEPORT__INTERNAL__V1__LABEL_RESULT__INIT;

        if (f->sent_app != NULL)
                sent.app = pb_text(f->sent_app);
        sent.name = pb_text(name);
        sent.result = pb_text(result);
        link_request(f->labels, verb, &sent.base, &cteleport__internal__v1__label_taken__descriptor, SECONDS(5), on_answer, f);
        loop_run(&f->loop);
        return f->code;
}

enum { LABEL = CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_LABEL };

static void takes_the_value_of_a_label(void **state)
{
        struct fixture *f = *state;
        Cteleport__V1__CommandLabel **list;

        assert_int_equal(label_values_list(f->values, &list), 0);
        assert_int_equal(send_message(f, LABEL, "colour", "blue"), 0);
        assert_int_equal(send_message(f, LABEL, "colour", "blue"), 0);
        assert_int_equal(f->changes, 1);
        assert_int_equal(send_message(f, LABEL, "colour", "green"), 0);
        assert_int_equal(f->changes, 2);
        assert_int_equal(label_values_list(f->values, &list), 1);
        assert_string_equal(list[0]->name, "colour");
        assert_string_equal(list[0]->result, "green");
}

static void takes_the_value_of_an_applications_label(void **state)
{
        struct fixture *f = *state;
        Cteleport__V1__CommandLabel **list;
        Cteleport__V1__PresenceUp__AppLabel **apps;

        f->sent_app = "wiki";
        assert_int_equal(send_message(f, LABEL, "colour", "red"), 0);
        assert_int_equal(label_values_list(f->values, &list), 0);
        assert_int_equal(label_values_list_apps(f->values, &apps), 1);
        assert_string_equal(apps[0]->app, "wiki");
        assert_string_equal(apps[0]->value, "red");
        f->sent_app = "other";
        assert_int_equal(send_message(f, LABEL, "colour", "red"), ERROR_NOT_FOUND);
}

static void takes_nothing_else_of_that_process(void **state)
{
        struct fixture *f = *state;
        Cteleport__V1__CommandLabel **list;
        AUTO_MEM char *too_long = mem_alloc(LABEL_RESULT_MAX + 2);

        memset(too_long, 'x', LABEL_RESULT_MAX + 1);
        assert_int_equal(send_message(f, LABEL, "env", "prod"), ERROR_NOT_FOUND);
        assert_int_equal(send_message(f, LABEL, "colour", too_long), ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(send_message(f, LABEL, "colour", "\xff"), ERROR_INVALID_ARGUMENT);
        assert_int_equal(send_message(f, CTELEPORT__INTERNAL__V1__INSTANCE_VERB__INSTANCE_IDENTITY, "colour", "blue"), ERROR_UNIMPLEMENTED);
        assert_int_equal(f->changes, 0);
        assert_int_equal(label_values_list(f->values, &list), 0);
}

static void keeps_values_when_that_process_is_another(void **state)
{
        struct fixture *f = *state;
        Cteleport__V1__CommandLabel **list;
        int here, there;

        assert_int_equal(send_message(f, LABEL, "colour", "blue"), 0);
        link_close(f->labels);
        assert_null(socket_pair(&here, &there));
        label_values_listen(f->values, here);
        f->labels = link_new(&f->loop, there, NULL, NULL);
        assert_int_equal(label_values_list(f->values, &list), 1);
        assert_int_equal(send_message(f, LABEL, "colour", "green"), 0);
        assert_string_equal(list[0]->result, "green");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(takes_the_value_of_a_label),
                TEST(takes_the_value_of_an_applications_label),
                TEST(takes_nothing_else_of_that_process),
                TEST(keeps_values_when_that_process_is_another),
        };

        return cmocka_run_group_tests_name("label_values", tests, NULL, NULL);
}
