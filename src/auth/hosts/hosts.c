/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/hosts.h"

#include "base/names.h"

bool host_is_attested_as(const Cteleport__State__V1__Host *host, struct str account, struct str arn)
{
        return str_equal(str_of(host->join_method), STR("iam")) && !str_is_empty(account) && !str_is_empty(arn) &&
               str_equal(str_of(host->aws_account), account) && str_equal(str_of(host->aws_arn), arn);
}

static bool is_id_of_instance(struct str host_id, struct str account, struct str arn)
{
        struct str of_account = str_split(&host_id, '-'), session = arn;

        while (str_find_char(session, '/') < session.len)
                (void)str_split(&session, '/');
        return str_equal(of_account, account) && str_contains(arn, STR(":assumed-role/")) && str_equal(session, host_id);
}

struct error *host_check_claim(const Cteleport__State__V1__Host *host, struct str host_id, struct str account, struct str arn)
{
        if (!name_is_uuid(host_id) && !is_id_of_instance(host_id, account, arn))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s is that of an EC2 instance, as which AWS does not know this host",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "remove host_uuid and proc from the data_dir of this host, it gets an ID of its own");
        if (host != NULL && !host_is_attested_as(host, account, arn))
                return error_hint(error_for(error_new(ERROR_PERMISSION_DENIED, "the host ID %.*s belongs to a host with another identity",
                                                      STR_ARG(host_id)), REASON_HOST_ID),
                                  "was this machine cloned? remove host_uuid and proc from its data_dir, it gets an ID of its own");
        return NULL;
}

bool host_is_later_than(const Cteleport__State__V1__Host *host, struct cert_issue cert)
{
        return cert_issue_is_before(cert, (struct cert_issue){ host->member_since, host->member_serial_time });
}

bool host_has_role(const Cteleport__State__V1__Host *host, struct str role)
{
        if (str_equal(role, STR("Instance")))
                return true;
        for (size_t i = 0; i < host->n_system_roles; i++)
                if (str_equal(str_of(host->system_roles[i]), role))
                        return true;
        return false;
}
