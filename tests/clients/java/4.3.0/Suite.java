import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients 4.3.0. */
public final class Suite {
    private Suite() {
    }

    public static void main(String[] arguments) {
        Check check = new Check("Java kafka-clients " + AppInfoParser.getVersion());
        new Canonical(check, arguments[0]).all();
        new Newer(check, arguments[0]).all();
        new Newest(check, arguments[0]).all();
        check.step("groups: list by state and type", () -> listGroups(arguments[0] + "-resume"));
        check.end();
    }

    private static void listGroups(String group) throws Exception {
        try (Admin admin = Admin.create(Records.settings())) {
            Check.that(groups(admin, new ListGroupsOptions()).contains(group), "not listed");
            Check.that(groups(admin, ListGroupsOptions.forConsumerGroups()).contains(group), "not a consumer group");
            ListGroupsOptions empty = new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY));
            Check.that(groups(admin, empty).contains(group), "not listed as empty");
            ListGroupsOptions stable = new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE));
            Check.that(!groups(admin, stable).contains(group), "an empty group is listed as stable");
            Check.fails(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(Set.of("absent")).all().get());
        }
    }

    private static Set<String> groups(Admin admin, ListGroupsOptions options) throws Exception {
        return admin.listGroups(options).all().get().stream().map(group -> group.groupId()).collect(Collectors.toSet());
    }
}
