package clients;

import java.util.concurrent.Callable;

/** One line per check on standard output, and whether one failed. */
public final class Report {
    private static boolean failed;

    private Report() {}

    public interface Check {
        void run() throws Exception;
    }

    /** Runs a check. {@code library}: its name and version; {@code what}: what holds if it returns. */
    public static void check(String library, String what, Check check) {
        try {
            check.run();
            System.out.println("ok java " + library + ": " + what);
        } catch (Throwable error) {
            failed = true;
            System.out.println("FAILED java " + library + ": " + what + ": " + error);
        }
    }

    /** Succeeds if the call is rejected by an exception. */
    public static void rejected(String what, Callable<?> call) {
        try {
            call.call();
        } catch (Exception expected) {
            return;
        }
        throw new AssertionError(what + " is accepted");
    }

    public static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Ends the process: 1 if a check failed. */
    public static void exit() {
        System.out.flush();
        System.exit(failed ? 1 : 0);
    }
}
